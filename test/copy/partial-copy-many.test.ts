import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCopier } from '../../src/index.ts';
import { zstdChunkedLayer } from '../support/chunked-layers.ts';
import { buildImage, randomBytes, type TestImage } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { assertCopied, copyTo, openScene } from './partial-copies.ts';

const MiB = 1024 * 1024;
const LAYERS = 18;

/** Chunked layers of 1.3 MB, a third of which differs from version to version, and two large ones. */
function imageOf(version: number): TestImage {
  const layers = Array.from({ length: LAYERS }, (_, layer) =>
    zstdChunkedLayer(
      Array.from({ length: 42 }, (__, file) => ({
        name: `file-${file}`,
        content: randomBytes(`${layer} ${file} ${file % 3 === 0 ? version : 1}`, 32_000),
      })),
    ),
  );
  const large = [1, 2].map((seed) => randomBytes(`large ${seed} ${version}`, 18 * MiB));
  return buildImage({
    layers: [...layers.map(({ bytes }) => bytes), ...large],
    layerAnnotations: layers.map(({ info }) => info.annotations),
    layerMediaType: layers[0]!.info.mediaType,
  });
}

const [v1, v2] = [imageOf(1), imageOf(2)];

for (const kind of ['registry', 'dir'] as const) {
  test(`many layers at once share the memory, although both hosts limit how often they are asked, into a ${kind}`, async (t) => {
    const scene = await openScene(t);
    scene.from.seed('app', '1', v1);
    scene.from.seed('app', '2', v2);
    await copyTo(kind, scene, '1');
    for (const registry of [scene.from, scene.to]) {
      registry.behave({ match: { path: /blobs/, times: 12 }, status: 429, headers: { 'retry-after': '0' } });
      registry.behave({ match: { path: /blobs/ }, latencyMs: 10 });
    }
    const { blobs } = await copyTo(kind, scene, '2');
    assert.equal(blobs.partial, LAYERS);
    await assertCopied(kind, scene, v2);
  });
}

test('layers that come from and go to one host do not wait for each other, be there one place for all requests', async (t) => {
  const registry = await startRegistry({ mount: 'always-202' });
  t.after(() => registry.close());
  const { env } = await openScene(t);
  registry.seed('app', '2', v2);
  registry.seed('copy', 'latest', v1);
  registry.behave({ match: { method: 'GET', path: /blobs/, times: 40 }, status: 429, headers: { 'retry-after': '0' } });
  await using copier = createCopier({ env, retryDelayMs: 1, jobs: 40 });
  const plain = { plainHttp: true, noCreds: true };
  const { blobs } = await copier.copy(`docker://${registry.host}/app:2`, `docker://${registry.host}/copy:latest`, {
    source: plain,
    destination: plain,
  });
  assert.equal(blobs.partial, LAYERS);
  for (const [digest, bytes] of v2.blobs) assert.ok(registry.blob('copy', digest)?.equals(bytes));
  assert.deepEqual(registry.sessions, []);
});

test('copies of several images at once end, each by itself', async (t) => {
  const scene = await openScene(t);
  scene.from.seed('app', '2', v2);
  for (const name of ['one', 'two', 'three']) scene.to.seed(name, 'latest', v1);
  await using copier = createCopier({ env: scene.env, retryDelayMs: 1 });
  const plain = { plainHttp: true, noCreds: true };
  const controller = new AbortController();
  const copies = ['one', 'two', 'three'].map(async (name) => {
    const options = { source: plain, destination: plain, ...(name === 'two' && { signal: controller.signal }) };
    return copier.copy(`docker://${scene.from.host}/app:2`, `docker://${scene.to.host}/${name}:latest`, options);
  });
  await scene.to.until(() => scene.to.count({ method: 'PATCH', path: /\/two\// }) > 1);
  controller.abort();
  const [one, two, three] = await Promise.allSettled(copies);
  assert.deepEqual([one?.status, two?.status, three?.status], ['fulfilled', 'rejected', 'fulfilled']);
  await scene.to.idle();
  const left = scene.to.sessions.filter(({ bytes }) => bytes < 16 * MiB);
  assert.deepEqual(left, [], 'no upload is left that nobody goes on with');
  for (const name of ['one', 'three'])
    for (const [digest, bytes] of v2.blobs) assert.ok(scene.to.blob(name, digest)?.equals(bytes));
});
