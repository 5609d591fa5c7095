import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  buildArtifact,
  buildImage,
  buildIndex,
  buildSchema1,
  EMPTY_LAYER,
  randomBytes,
  tarGzLayer,
  type TestImage,
} from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { assertHoldsOnly } from '../transports/dir/image-directory.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const platforms = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }));
const images = platforms.map((platform) =>
  buildImage({ layers: [tarGzLayer({ [platform.architecture]: 'a' }), randomBytes('shared', 3000)], platform }),
);
const index = buildIndex({ images: images.map((image, position) => ({ image, platform: platforms[position] })) });
const layer = tarGzLayer({ a: 'a' });

const everyKind: Readonly<Record<string, TestImage>> = {
  'an OCI image': buildImage({ layers: { count: 3, size: 2000 }, annotations: { 'org.test': 'ü' } }),
  'a docker image': buildImage({ layers: { count: 2, size: 2000 }, format: 'docker' }),
  'an image without layers': buildImage({ layers: [] }),
  'an image with an empty blob for a layer': buildImage({ layers: [Buffer.alloc(0), layer] }),
  'an image with the same layer three times': buildImage({ layers: [layer, EMPTY_LAYER, layer, EMPTY_LAYER, layer] }),
  'an index': index,
  'a docker manifest list': buildIndex({
    format: 'docker',
    images: [{ image: buildImage({ layers: [layer], format: 'docker' }), platform: platforms[0] }],
  }),
  'an index in an index': buildIndex({
    images: [{ image: index }, { image: buildIndex({ images: [{ image: index }] }) }],
  }),
  'an index that names an image twice': buildIndex({
    images: [0, 1].map((position) => ({ image: images[0] as TestImage, platform: platforms[position] })),
  }),
  'an artifact': buildArtifact({ artifactType: 'test/sbom', files: { 'a.txt': 'hello', 'empty.json': '{}' } }),
  'an artifact with a config of its own': buildArtifact({ configMediaType: 'test/unknown+json', files: { a: 'a' } }),
  'a schema 1 image': buildSchema1({ layers: [randomBytes('top', 1000), null, layer, null, layer] }),
  'a signed schema 1 image': buildSchema1({ layers: [layer, null], signed: true }),
};

for (const [what, image] of Object.entries(everyKind)) {
  test(`${what} goes to a directory and back, and stays the same (behaviours 13, 31, 33)`, async (t) => {
    const home = await openHome(t);
    const directory = join(home.path, 'image');
    await using from = await startRegistry();
    await using to = await startRegistry();
    await using copier = new TestCopier(home);
    from.seed('app', 'v1', image);
    const { manifest, blobs } = image;
    const result = await copier.copy(at(from, 'app:v1'), `dir:${directory}`);
    assert.deepEqual(
      [result.digest, result.mediaType, result.size],
      [manifest.digest, manifest.mediaType, manifest.bytes.length],
    );
    assert.deepEqual([result.blobs.total, result.blobs.copied], [blobs.size, blobs.size]);
    assert.equal(result.reference, `dir:${directory}@${manifest.digest}`);
    await assertHoldsOnly(directory, image);
    const back = await copier.copy(`dir:${directory}`, at(to, 'copy:v2'));
    assert.equal(back.reference, at(to, `copy@${manifest.digest}`));
    assertHolds(to, 'copy', image);
    assert.deepEqual(to.manifest('copy', 'v2'), manifest);
    assert.equal((await copier.copy(at(to, 'copy:v2'), `dir:${directory}`)).skipped, 'same');
  });
}

function assertHolds(registry: TestRegistry, repository: string, { manifest, instances, blobs }: TestImage): void {
  for (const [digest, bytes] of blobs) assert.deepEqual(registry.blob(repository, digest), bytes);
  for (const one of [...instances, manifest]) assert.deepEqual(registry.manifest(repository, one.digest), one);
  assert.equal(registry.blobs(repository).length, blobs.size);
  assert.equal(registry.sessions.length, 0);
}

test('moves a blob that several manifests and layers share once (behaviour 19)', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  const [shared] = [...(images[0] as TestImage).blobs.keys()].filter((digest) => images[1]?.blobs.has(digest));
  from.seed('app', 'v1', index);
  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
  assert.equal(from.count({ method: 'GET', path: new RegExp(`/blobs/${shared}`) }), 1);
  assert.equal(to.count({ method: 'PUT', path: new RegExp(`digest=${encodeURIComponent(shared ?? '')}`) }), 1);
});

test('asks once for the size of a layer that schema 1 names twice', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', buildSchema1({ layers: [null, layer, null, layer, null] }));
  const { bytes } = await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
  assert.equal(from.count({ method: 'HEAD' }), 2);
  assert.equal(bytes.total, EMPTY_LAYER.length + layer.length);
});

test('puts instances before their index, and each index before the one that names it (behaviour 20)', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  const outer = buildIndex({ images: [{ image: index }] });
  from.seed('app', 'v1', outer);
  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
  const puts = to.select({ method: 'PUT', path: /\/manifests\// }).map(({ path }) => path.split('/').at(-1));
  assert.deepEqual(puts.slice(-2), [index.manifest.digest, 'v1']);
  assert.equal(puts.length, 4);
});

test('keeps nothing but the names of the layout in a directory', async (t) => {
  const home = await openHome(t);
  await using from = await startRegistry();
  await using copier = new TestCopier(home);
  from.seed('app', 'v1', images[0] as TestImage);
  from.seed('app', 'v2', images[1] as TestImage);
  const directory = join(home.path, 'image');
  for (const tag of ['v1', 'v2']) await copier.copy(at(from, `app:${tag}`), `dir:${directory}`);
  await assertHoldsOnly(directory, images[1] as TestImage);
});
