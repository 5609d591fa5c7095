import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestOf } from '../../src/digest/digest.ts';
import { buildImage, buildIndex, randomBytes } from '../support/images.ts';
import { withForeignLayer } from '../support/layer-fields.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const layer = randomBytes('base of Windows', 50_000);
const plain = buildImage({ layers: [layer, randomBytes('program', 1000)] });
const { blobs } = plain;
const without = new Map([...blobs].filter(([digest]) => digest !== digestOf(layer)));

/** An image of Windows' kind in a registry, its first layer in another one. */
function seedForeign(from: TestRegistry, elsewhere: TestRegistry): typeof plain {
  elsewhere.seedBlob('layers', layer);
  const image = withForeignLayer(plain, [`${elsewhere.url}/v2/layers/blobs/${digestOf(layer)}`]);
  from.seed('app', 'v1', { ...image, blobs: without });
  return image;
}

test('leaves a foreign layer where it is, and stores it with allowNondistributableArtifacts', async (t) => {
  await using from = await startRegistry();
  await using elsewhere = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  const { manifest } = seedForeign(from, elsewhere);
  const left = await copier.copy(at(from, 'app:v1'), at(to, 'app:v1'));
  assert.equal(left.blobs.total, 2);
  assert.equal(to.blob('app', digestOf(layer)), undefined);
  const options = { allowNondistributableArtifacts: true };
  const stored = await copier.copy(at(from, 'app:v1'), at(to, 'app:v1'), options);
  assert.deepEqual([stored.digest, stored.blobs.reused, stored.blobs.copied], [manifest.digest, 2, 1]);
  assert.deepEqual(to.blob('app', digestOf(layer)), layer);
  assert.deepEqual(to.manifest('app', 'v1'), manifest, 'the manifest, with its URLs, stays as it is');
});

test('stores the foreign layers of all images of an index, although the destination has the index', async (t) => {
  await using from = await startRegistry();
  await using elsewhere = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  const image = seedForeign(from, elsewhere);
  const index = buildIndex({ images: [{ image }] });
  from.seed('app', 'all', { ...index, blobs: without });
  to.seed('app', 'all', { ...index, blobs: without });
  await copier.copy(at(from, 'app:all'), at(to, 'app:all'), { allowNondistributableArtifacts: true });
  assert.deepEqual(to.blob('app', digestOf(layer)), layer);
});

test('sends a foreign layer from a directory that holds it', async (t) => {
  const home = await openHome(t);
  await using from = await startRegistry();
  await using elsewhere = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(home);
  seedForeign(from, elsewhere);
  const directory = `dir:${join(home.path, 'image')}`;
  assert.equal((await copier.copy(at(from, 'app:v1'), directory)).blobs.copied, 3);
  elsewhere.reset();
  await copier.copy(directory, at(to, 'app:v1'), { allowNondistributableArtifacts: true });
  assert.deepEqual(to.blob('app', digestOf(layer)), layer);
  assert.equal(elsewhere.count(), 0);
});

test('says that a registry does not accept foreign URLs, without a retry', async (t) => {
  await using from = await startRegistry();
  await using elsewhere = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  seedForeign(from, elsewhere);
  const errors = [
    { code: 'UNKNOWN', message: 'invalid URL on layer' },
    { code: 'MANIFEST_BLOB_UNKNOWN', message: 'blob unknown to registry' },
  ];
  for (const status of [400, 500]) {
    to.reset();
    to.behaveWell();
    to.behave({ match: { method: 'PUT', path: /manifests/ }, status, body: JSON.stringify({ errors }) });
    await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'app:v1')), {
      code: 'ERR_FOREIGN_URL_REFUSED',
      hint: 'ask its operator to allow the URLs of the layer (in distribution: validation.manifests.urls.allow)',
    });
    assert.equal(to.count({ method: 'PUT', path: /manifests/ }), 1);
  }
});

test('tells how to send foreign layers to a registry that wants them', async (t) => {
  await using from = await startRegistry();
  await using elsewhere = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  seedForeign(from, elsewhere);
  const errors = [{ code: 'MANIFEST_BLOB_UNKNOWN', message: 'blob unknown to registry' }];
  to.behave({
    match: { when: ({ method, path }) => method === 'PUT' && path.includes('manifests') && to.blobs('app').length < 3 },
    status: 400,
    body: JSON.stringify({ errors }),
  });
  await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'app:v1')), {
    code: 'ERR_MISSING_BLOBS',
    hint: /--allow-nondistributable-artifacts/,
  });
  await copier.copy(at(from, 'app:v1'), at(to, 'app:v1'), { allowNondistributableArtifacts: true });
  assert.equal(to.tags('app').length, 1);
});
