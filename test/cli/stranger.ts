import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/** A user who is in no list of users, as those of OpenShift. */
export const STRANGER = 54_321;

const isRoot = process.getuid?.() === 0;

/** Why a test that runs as the stranger is skipped, or false. */
export const skip: string | false =
  !isRoot && process.env['IMGCOPY_REQUIRE_REAL'] !== '1' && 'only root can become another user';

/** A working directory that anybody may write to. */
export async function workingDirectory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'imgcopy-cwd-'));
  t.after(() => rm(path, { recursive: true }));
  await chmod(path, 0o777);
  return path;
}
