import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

/** How a run of the program ended. */
export interface CliResult {
  readonly stdout: string;
  readonly stderr: string;
  /** The exit status; undefined when a signal ended it. */
  readonly status: number | undefined;
}

export interface CliOptions {
  /** Variables beside those of the home. */
  readonly env?: Readonly<Record<string, string>>;
  /** What it reads on standard input. Default: nothing. */
  readonly input?: string;
}

/** A run that is under way. */
export interface CliRun {
  readonly child: ChildProcess;
  readonly result: Promise<CliResult>;
}

const program = fileURLToPath(new URL('./cli-process.ts', import.meta.url));

/** A home directory of its own for runs of the program from its sources: no credentials, cache or settings of the user's count. */
export class CliHome implements AsyncDisposable {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Runs the program to its end. @param args  what the user types after `imgcopy`. */
  async run(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
    return await this.start(args, options).result;
  }

  start(args: readonly string[], { env, input = '' }: CliOptions = {}): CliRun {
    const child = spawn(process.execPath, [program, ...args], { env: { ...this.#variables(), ...env } });
    child.stdin.on('error', () => undefined).end(input);
    return { child, result: ended(child) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true });
  }

  #variables(): Readonly<Record<string, string>> {
    return {
      HOME: this.path,
      PATH: process.env['PATH'] ?? '',
      XDG_RUNTIME_DIR: join(this.path, 'run'),
      // Compiled once for all runs of a home.
      NODE_COMPILE_CACHE: join(this.path, 'compiled'),
    };
  }
}

/** Makes a home; to be disposed of. */
export async function createCliHome(): Promise<CliHome> {
  return new CliHome(await mkdtemp(join(tmpdir(), 'imgcopy-cli-')));
}

async function ended(child: ChildProcess): Promise<CliResult> {
  if (child.stdout === null || child.stderr === null) throw new Error('the program was started without pipes');
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  return { stdout, stderr, status: code ?? undefined };
}
