import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildImage } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { mountReadOnly, mountSmall } from '../support/small-file-system.ts';
import { assertHoldsOnly, isWhole } from '../transports/dir/image-directory.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const MiB = 1024 * 1024;
const old = buildImage({ layers: { count: 1, size: MiB, seed: 'old' } });
const large = buildImage({ layers: { count: 4, size: 2 * MiB, seed: 'large' } });

test('a directory that cannot be made on a read-only file system is shown as such', async (t) => {
  const path = await mountReadOnly(t);
  if (path === undefined) return;
  const home = await openHome(t);
  await using registry = await startRegistry();
  registry.seed('app', '1', old);
  await using copier = new TestCopier(home);
  for (const name of ['new', 'new/and/deep']) {
    await assert.rejects(copier.copy(at(registry, 'app:1'), `dir:${join(path, name)}`), {
      code: 'ERR_NOT_WRITABLE',
      side: 'destination',
      message: /read-only file system/,
    });
  }
});

test('a cache and state on a read-only file system are done without', async (t) => {
  const path = await mountReadOnly(t);
  if (path === undefined) return;
  const home = await openHome(t);
  const env = { ...home.env, XDG_CACHE_HOME: join(path, 'cache'), XDG_STATE_HOME: join(path, 'state') };
  await using registry = await startRegistry();
  registry.seed('app', '1', old);
  await using copier = new TestCopier({ ...home, env });
  await copier.copy(at(registry, 'app:1'), at(registry, 'copy:1'));
  assert.match(copier.warnings.join('\n'), /cache .* read-only file system/);
});

test('a disk that runs full fails the copy with a hint, leaves the old image whole, and can be tried again', async (t) => {
  const path = await mountSmall(t, 5 * MiB);
  if (path === undefined) return;
  const home = await openHome(t);
  await using registry = await startRegistry();
  registry.seed('app', 'old', old);
  registry.seed('app', 'large', large);
  const directory = join(path, 'image');
  {
    await using copier = new TestCopier(home);
    await copier.copy(at(registry, 'app:old'), `dir:${directory}`);
  }
  for (let attempt = 1; attempt <= 2; attempt += 1) {
    await using copier = new TestCopier(home);
    await assert.rejects(copier.copy(at(registry, 'app:large'), `dir:${directory}`), {
      code: 'ERR_DISK_FULL',
      side: 'destination',
      hint: /free some space/,
    });
    assert.equal(await isWhole(directory, old), true);
    assert.ok(!(await readdir(directory)).includes('.imgcopy.lock'));
  }
  await using copier = new TestCopier(home);
  await copier.copy(at(registry, 'app:old'), `dir:${directory}`, { force: true });
  await assertHoldsOnly(directory, old);
});

test('an archive on a full disk leaves no file, and the hint promises no kept layers', async (t) => {
  const path = await mountSmall(t, 12 * MiB);
  if (path === undefined) return;
  // The image would fit if the disk were empty.
  await writeFile(join(path, 'other'), Buffer.alloc(6 * MiB));
  const home = await openHome(t);
  await using registry = await startRegistry();
  registry.seed('app', 'large', large);
  await using copier = new TestCopier(home);
  await assert.rejects(copier.copy(at(registry, 'app:large'), `oci-archive:${join(path, 'image.tar')}`), {
    code: 'ERR_DISK_FULL',
    hint: 'free some space and run it again',
  });
  assert.deepEqual(await readdir(path), ['other']);
});
