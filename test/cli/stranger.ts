import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The command, to be run by Node.js. */
export const program: string = fileURLToPath(new URL('../support/cli-process.ts', import.meta.url));

/** A user who is in no list of users, as those of OpenShift. */
export const STRANGER = 54_321;

const PATH = process.env['PATH'] ?? '';
const isRoot = process.getuid?.() === 0;

/** Why a test that runs as the stranger is skipped, or false. */
export const skip: string | false =
  !isRoot && process.env['IMGCOPY_REQUIRE_REAL'] !== '1' && 'only root can become another user';

export interface Run {
  /** All of it, but for PATH. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly uid?: number | undefined;
}

/** Runs the command in a process of its own. */
export async function run(
  args: readonly string[],
  { env, cwd, uid }: Run,
): Promise<{ readonly status: number; readonly stderr: string }> {
  const identity = uid === undefined ? {} : { uid, gid: uid };
  const child = spawn(process.execPath, [program, ...args], {
    cwd,
    env: { PATH, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
    ...identity,
  });
  const [stderr, [status]] = await Promise.all([text(child.stderr), once(child, 'close') as Promise<[number]>]);
  return { status, stderr };
}

/** A working directory that anybody may write to. */
export async function workingDirectory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'imgcopy-cwd-'));
  t.after(() => rm(path, { recursive: true }));
  await chmod(path, 0o777);
  return path;
}
