import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

/** The command as it is built, for tests that depend on that. */
export const bundle: string = fileURLToPath(new URL('../../bin/imgcopy.js', import.meta.url));

const chosen = process.env['IMGCOPY_TEST_COMMAND'] ?? 'sources';
const isInstalled = !['sources', 'bundle'].includes(chosen);

/**
 * What the tests of the command run, for Node.js: as IMGCOPY_TEST_COMMAND says the `sources` (default), the `bundle` of this project, or the path of an
 * installed imgcopy.
 */
export const program: string =
  chosen === 'sources'
    ? fileURLToPath(new URL('./imgcopy-process.ts', import.meta.url))
    : isInstalled
      ? chosen
      : bundle;

/** The command as users have it: the installed one where that is chosen, else the bundle. */
export const builtProgram: string = isInstalled ? chosen : bundle;

/** How a run of the command ended. */
export interface ImgcopyResult {
  readonly stdout: string;
  readonly stderr: string;
  /** The exit status; null when a signal ended it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A run that is under way. */
export interface ImgcopyRun {
  readonly child: ChildProcess;
  readonly result: Promise<ImgcopyResult>;
}

export interface ImgcopyOptions {
  /** Its variables. PATH is this process's, all others are these alone. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Its working directory. Default: this process's. */
  readonly cwd?: string | undefined;
  /** The user who runs it. Default: this process's. */
  readonly uid?: number | undefined;
  /** What it reads on standard input. Default: nothing. */
  readonly input?: string | undefined;
  /** JavaScript that runs in the process before imgcopy does. */
  readonly preload?: string | undefined;
  /** What runs. Default: `program`. */
  readonly file?: string | undefined;
}

/** Starts the command. @param args  what the user types after `imgcopy`. */
export function startImgcopy(args: readonly string[], options: ImgcopyOptions): ImgcopyRun {
  const { env, cwd, uid, input = '', preload, file = program } = options;
  const imports = preload === undefined ? [] : ['--import', `data:text/javascript,${encodeURIComponent(preload)}`];
  const child = spawn(process.execPath, [...imports, file, ...args], {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', ...env },
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  child.stdin.on('error', () => undefined).end(input);
  return { child, result: ended(child) };
}

/** Runs the command to its end. @param args  what the user types after `imgcopy`. */
export async function runImgcopy(args: readonly string[], options: ImgcopyOptions): Promise<ImgcopyResult> {
  return await startImgcopy(args, options).result;
}

/** A home directory of its own for runs of the command: no credentials, cache or settings of the user's count. */
export class CliHome implements AsyncDisposable {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Runs the command to its end. @param args  what the user types after `imgcopy`. */
  async run(args: readonly string[], options: Partial<ImgcopyOptions> = {}): Promise<ImgcopyResult> {
    return await this.start(args, options).result;
  }

  /** @param options  `env`: variables beside those of the home. */
  start(args: readonly string[], options: Partial<ImgcopyOptions> = {}): ImgcopyRun {
    return startImgcopy(args, { ...options, env: { ...this.variables, ...options.env } });
  }

  /** The variables that make it the home of a process. */
  get variables(): Readonly<Record<string, string>> {
    return {
      HOME: this.path,
      XDG_RUNTIME_DIR: join(this.path, 'run'),
      // Compiled once for all runs of a home.
      NODE_COMPILE_CACHE: join(this.path, 'compiled'),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true });
  }
}

/** Makes a home; to be disposed of. */
export async function createCliHome(): Promise<CliHome> {
  return new CliHome(await mkdtemp(join(tmpdir(), 'imgcopy-cli-')));
}

async function ended(child: ChildProcess): Promise<ImgcopyResult> {
  if (child.stdout === null || child.stderr === null) throw new Error('the command was started without pipes');
  const [stdout, stderr, [status, signal]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
  ]);
  return { stdout, stderr, status, signal };
}
