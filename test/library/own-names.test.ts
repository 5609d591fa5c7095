import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildImage, tarGzLayer } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { dockerSave, dockerSave25, ociArchive, writeArchive } from '../transports/archive/archives.ts';
import { assertHolds, writeLayout } from '../transports/oci/layout-directory.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const image = buildImage({ layers: [tarGzLayer({ app: 'app' })] });
const { members: saved25, image: plain } = dockerSave25(image, 'team/app:v1');

test('an image whose name is left out keeps the one that it has in the source', async (t) => {
  const home = await openHome(t);
  await writeLayout(join(home.path, 'from'), ['v1', image]);
  const oci = await writeArchive(t, ociArchive(image, 'v1'));
  await using registry = await startRegistry();
  await using copier = new TestCopier(home);
  for (const [number, source] of [`oci:${join(home.path, 'from')}`, `oci-archive:${oci}`].entries()) {
    const lay = join(home.path, `lay-${number}`);
    const copied = await copier.copy(source, `oci:${lay}`);
    assert.equal(copied.destination, `oci:${lay}:v1`);
    await assertHolds(lay, ['v1', image]);
    const pushed = await copier.copy(source, at(registry, `app-${number}`));
    assert.equal(pushed.destination, at(registry, `app-${number}:v1`));
    assert.deepEqual(registry.tags(`app-${number}`), ['v1']);
  }
});

test('so does one that docker has saved, by its tag', async (t) => {
  const home = await openHome(t);
  const [old, current] = [await writeArchive(t, dockerSave(image, ['team/app:v1'])), await writeArchive(t, saved25)];
  await using registry = await startRegistry();
  await using copier = new TestCopier(home);
  for (const [number, path] of [old, current].entries()) {
    const { destination } = await copier.copy(`docker-archive:${path}`, at(registry, `app-${number}`));
    assert.equal(destination, at(registry, `app-${number}:v1`));
    const lay = join(home.path, `lay-${number}`);
    await copier.copy(`docker-archive:${path}`, `oci:${lay}`);
    await assertHolds(lay, ['v1', plain]);
  }
});

test('a name that is given goes before it, in the source or the destination', async (t) => {
  const home = await openHome(t);
  const oci = await writeArchive(t, ociArchive(image, 'v1'));
  await using registry = await startRegistry();
  await using copier = new TestCopier(home);
  await copier.copy(`oci-archive:${oci}:v1`, at(registry, 'app'));
  await copier.copy(`oci-archive:${oci}`, at(registry, 'app:v2'));
  assert.deepEqual(registry.tags('app'), ['v1', 'v2']);
  const { destination } = await copier.copy(`oci-archive:${oci}@${image.manifest.digest}`, `oci:${home.path}/lay`);
  assert.equal(destination, `oci:${home.path}/lay`);
});

test('an image without a name is pushed as latest', async (t) => {
  const home = await openHome(t);
  const oci = await writeArchive(t, ociArchive(image));
  await using registry = await startRegistry();
  await using copier = new TestCopier(home);
  await copier.copy(`oci-archive:${oci}`, at(registry, 'app'));
  assert.deepEqual(registry.tags('app'), ['latest']);
});
