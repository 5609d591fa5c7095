import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countManifests, readManifestTree, type IndexNode } from '../../src/copy/manifest-tree.ts';
import { digestOf } from '../../src/digest/digest.ts';
import { ImgcopyError } from '../../src/errors/imgcopy-error.ts';
import { Semaphore } from '../../src/io/semaphore.ts';
import type { RawManifest } from '../../src/contract/blob-info.ts';
import { fakeRun } from '../support/fakes.ts';
import { buildImage, buildIndex, describe, randomBytes, type TestImage } from '../support/images.ts';

const images = ['a', 'b', 'c'].map((seed) => buildImage({ layers: { count: 1, size: 100, seed } }));
const [first] = images as [TestImage, TestImage, TestImage];
const index = buildIndex({ images: images.map((image) => ({ image })) });

function treeOf(image: TestImage, only?: ReadonlySet<string>): { readonly node: IndexNode; readonly calls: string[] } {
  const { run, calls } = fakeRun({ image });
  const node = readManifestTree(run, image.manifest, { only: only as ReadonlySet<`sha256:${string}`> | undefined });
  if (!('instances' in node)) throw new Error('an index was expected');
  return { node, calls };
}

test('reads an image by itself, and asks for nothing more', async () => {
  const { run, calls } = fakeRun({ image: first });
  const node = readManifestTree(run, first.manifest);
  assert.ok(!('instances' in node));
  assert.equal(await countManifests(node), 1);
  assert.deepEqual(calls, []);
});

test('asks for all instances of an index at once', async () => {
  const all = Promise.withResolvers<void>();
  let asked = 0;
  const { run } = fakeRun({
    source: {
      getManifest: async ({ instanceDigest } = {}) => {
        asked += 1;
        if (asked === images.length) all.resolve();
        await all.promise;
        return images.find(({ manifest }) => manifest.digest === instanceDigest)?.manifest as RawManifest;
      },
    },
  });
  const node = readManifestTree(run, index.manifest) as IndexNode;
  const instances = await Promise.all(node.instances);
  assert.deepEqual(
    instances.map(({ raw }) => raw),
    images.map(({ manifest }) => manifest),
  );
  assert.equal(await countManifests(node), 4);
});

test('reads an instance that is named twice once', async () => {
  const twice = buildIndex({ images: [first, first].map((image) => ({ image })) });
  const { node, calls } = treeOf(twice);
  assert.equal(node.instances.length, 1);
  await Promise.all(node.instances);
  assert.deepEqual(calls, ['getManifest']);
});

test('reads only the instances that are wanted, on all levels', async () => {
  const outer = buildIndex({ images: [{ image: index }, { image: first }] });
  const { node } = treeOf(outer, new Set([index.manifest.digest, images[2]?.manifest.digest ?? '']));
  const [inner] = await Promise.all(node.instances);
  assert.ok(inner !== undefined && 'instances' in inner && node.instances.length === 1);
  assert.deepEqual(
    (await Promise.all(inner.instances)).map(({ raw }) => raw),
    [images[2]?.manifest],
  );
  assert.equal(await countManifests(node), 3);
});

test('reads manifests of an index through the pool, ahead of blobs that wait', async () => {
  const pool = new Semaphore(1);
  const order: string[] = [];
  const { run } = fakeRun({
    run: { pool },
    source: {
      getManifest: async ({ instanceDigest } = {}) => {
        order.push('manifest');
        return images.find(({ manifest }) => manifest.digest === instanceDigest)?.manifest as RawManifest;
      },
    },
  });
  const hold = await pool.acquire();
  const blob = pool.acquire({ priority: 1e12 }).then((release) => {
    order.push('blob');
    release();
  });
  const node = readManifestTree(run, index.manifest) as IndexNode;
  assert.equal(pool.waiting, 4);
  hold();
  await Promise.all([blob, ...node.instances]);
  assert.deepEqual(order, ['manifest', 'manifest', 'manifest', 'blob']);
});

test('takes a digest that an index names as a manifest and as a blob for both', async () => {
  const document = JSON.parse(String(index.manifest.bytes)) as { manifests: { mediaType: string }[] };
  const manifests = [...document.manifests, { ...document.manifests[0], mediaType: 'application/octet-stream' }];
  const bytes = Buffer.from(JSON.stringify({ ...document, manifests }));
  const { node } = treeOf({ ...index, manifest: { ...index.manifest, bytes, digest: digestOf(bytes) } });
  assert.deepEqual([node.instances.length, node.blobs.length], [3, 1]);
  await Promise.all(node.instances);
});

test('tells what an index names besides manifests, as the caches of BuildKit do', async () => {
  const layer = describe(randomBytes('cached', 100), 'application/vnd.oci.image.layer.v1.tar+gzip');
  const document = JSON.parse(String(index.manifest.bytes)) as { manifests: object[] };
  const bytes = Buffer.from(JSON.stringify({ ...document, manifests: [...document.manifests, layer, layer] }));
  const manifest: RawManifest = { bytes, mediaType: index.manifest.mediaType, digest: digestOf(bytes) };
  const { node, calls } = treeOf({ ...index, manifest });
  assert.deepEqual(
    node.blobs.map(({ digest }) => digest),
    [layer.digest],
  );
  await Promise.all(node.instances);
  assert.equal(calls.length, 3);
});

test('leaves the failure of an instance to who asks for it', async () => {
  const failure = new ImgcopyError('GET: 404', { code: 'ERR_NOT_FOUND' });
  const { run } = fakeRun({ image: index, source: { getManifest: async () => Promise.reject(failure) } });
  const node = readManifestTree(run, index.manifest);
  await new Promise(setImmediate);
  assert.ok('instances' in node);
  await assert.rejects(Promise.all(node.instances), failure);
});
