import { spawn, type ChildProcess } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const COMMAND = fileURLToPath(new URL('../../bin/imgcopy.js', import.meta.url));

/** The built imgcopy, running as a process of its own. */
export interface ImgcopyProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

export interface Ended {
  /** Null where a signal ended it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ImgcopyOptions {
  /** Where its cache and state files go, in place of the user's. */
  readonly home: string;
  /** Its working directory. Default: this process's. */
  readonly cwd?: string | undefined;
  /** JavaScript that runs in the process before imgcopy does. */
  readonly preload?: string | undefined;
}

/** Starts the command with these arguments. */
export function startImgcopy(args: readonly string[], { home, cwd, preload }: ImgcopyOptions): ImgcopyProcess {
  const { XDG_CACHE_HOME: _cache, XDG_STATE_HOME: _state, ...inherited } = process.env;
  const imports = preload === undefined ? [] : ['--import', `data:text/javascript,${encodeURIComponent(preload)}`];
  const child = spawn(process.execPath, [...imports, COMMAND, ...args], {
    cwd,
    env: { ...inherited, HOME: home },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = new Promise<Pick<Ended, 'status' | 'signal'>>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (status, signal) => resolve({ status, signal }));
  });
  const output = Promise.all([text(child.stdout), text(child.stderr)]);
  const ended = Promise.all([exited, output]).then(([how, [stdout, stderr]]) => ({ ...how, stdout, stderr }));
  return { child, ended };
}

/** Runs the command to its end. */
export async function runImgcopy(args: readonly string[], options: ImgcopyOptions): Promise<Ended> {
  return await startImgcopy(args, options).ended;
}
