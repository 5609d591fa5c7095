import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/**
 * A file system of its own, in memory, that goes away with the test.
 * @returns where it is mounted; undefined, and the test is skipped, where this user may not mount.
 */
export async function mountSmall(t: TestContext, sizeBytes: number): Promise<string | undefined> {
  return await mount(t, `size=${sizeBytes}`);
}

/** The same, empty and read-only. */
export async function mountReadOnly(t: TestContext): Promise<string | undefined> {
  return await mount(t, 'size=1m,ro');
}

/** The same, and so full that it takes no file more. */
export async function mountFull(t: TestContext): Promise<string | undefined> {
  return await mount(t, 'nr_inodes=1');
}

async function mount(t: TestContext, options: string): Promise<string | undefined> {
  const path = await mkdtemp(join(tmpdir(), 'imgcopy-mount-'));
  const { status, stderr, error } = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path], {
    encoding: 'utf8',
  });
  if (status === 0) {
    t.after(async () => {
      spawnSync('umount', ['--lazy', path]);
      await rm(path, { recursive: true });
    });
    return path;
  }
  await rm(path, { recursive: true });
  const why = `no tmpfs can be mounted: ${error?.message ?? stderr.trim()}`;
  if (process.env['IMGCOPY_REQUIRE_REAL'] === '1') throw new Error(why);
  t.skip(why);
  return undefined;
}
