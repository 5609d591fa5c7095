import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/** Makes a named pipe that is removed with the test. @returns its path. */
export async function makeNamedPipe(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'imgcopy-pipe-'));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'pipe');
  execFileSync('mkfifo', [path]);
  return path;
}
