import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestHex, type Digest } from '../../src/digest/digest.ts';
import type { FixtureFormat } from '../support/fixture-images.ts';
import { buildImage, randomBytes, type TestImage } from '../support/images.ts';
import { loadFixture } from '../support/integration-images.ts';
import type { MultiRangeAnswer } from '../support/registry/options.ts';
import type { TestRegistry } from '../support/registry.ts';
import { assertCopied, copyTo, openScene, type Kind, type Scene } from './partial-copies.ts';

const MiB = 1024 * 1024;
const kinds = ['registry', 'dir'] as const;

interface Versions {
  readonly v1: TestImage;
  readonly v2: TestImage;
  /** The layer that differs, in each. */
  readonly old: Digest;
  readonly app: Digest;
}

async function versionsOf(format: FixtureFormat): Promise<Versions> {
  const [v1, v2] = [await loadFixture(format, 'v1'), await loadFixture(format, 'v2')];
  return { v1, v2, old: topLayer(v1), app: topLayer(v2) };
}

function topLayer({ manifest }: TestImage): Digest {
  const { layers } = JSON.parse(manifest.bytes.toString()) as { layers: readonly { digest: Digest }[] };
  return layers.at(-1)!.digest;
}

/** Seeds the source with both versions, and copies the first. */
async function withV1(kind: Kind, scene: Scene, { v1, v2 }: Versions): Promise<void> {
  scene.from.seed('app', '1', v1);
  scene.from.seed('app', '2', v2);
  await copyTo(kind, scene, '1');
  scene.from.reset();
  scene.to.reset();
}

function requestsFor(registry: TestRegistry, digest: Digest): readonly string[] {
  return registry.select({ path: new RegExp(digest) }).map(({ method, range }) => `${method} ${range ?? 'whole'}`);
}

for (const kind of kinds) {
  for (const format of ['zstdchunked', 'zstdchunked-old', 'estargz'] as const) {
    test(`the next version in ${format} takes two requests for its layer, into a ${kind}`, async (t) => {
      const scene = await openScene(t);
      const versions = await versionsOf(format);
      await withV1(kind, scene, versions);
      const { blobs, bytes } = await copyTo(kind, scene, '2');
      assert.equal(blobs.partial, 1);
      assert.ok(bytes.reused > 0.3 * versions.v2.blobs.get(versions.app)!.length);
      const requests = requestsFor(scene.from, versions.app);
      assert.equal(requests.length, 2, requests.join('; '));
      await assertCopied(kind, scene, versions.v2);
    });
  }

  test(`layers that are not chunked take no request more than without pieces, into a ${kind}`, async (t) => {
    const counts: number[][] = [];
    for (const partial of ['never', 'auto'] as const) {
      const scene = await openScene(t);
      const versions = await versionsOf('gzip');
      await withV1(kind, scene, versions);
      await copyTo(kind, scene, '2', { partial });
      await assertCopied(kind, scene, versions.v2);
      counts.push([scene.from.count(), scene.to.count()]);
    }
    assert.deepEqual(counts[1], counts[0]);
  });

  test(`with partial copies switched off no range is asked for, into a ${kind}`, async (t) => {
    const scene = await openScene(t);
    const versions = await versionsOf('zstdchunked');
    await withV1(kind, scene, versions);
    const { blobs, bytes } = await copyTo(kind, scene, '2', { partial: 'never' });
    assert.deepEqual([blobs.partial, blobs.reused, bytes.fetched], [0, 1, bytesOf(versions.v2) - baseBytes(versions)]);
    for (const registry of [scene.from, scene.to])
      assert.ok(registry.requests.every(({ range }) => range === undefined));
    await assertCopied(kind, scene, versions.v2);
  });

  const ladder: readonly MultiRangeAnswer[] = ['full', 400, 416, 501, 'first-only', 'no-boundary', 'wrong-part-range'];
  for (const multiRange of ladder) {
    test(`a source that answers many ranges by ${multiRange} is asked for them one by one, into a ${kind} (behaviour 10)`, async (t) => {
      const scene = await openScene(t, { from: { multiRange } });
      const versions = await versionsOf('zstdchunked');
      await withV1(kind, scene, versions);
      const { blobs } = await copyTo(kind, scene, '2');
      assert.equal(blobs.partial, 1);
      await assertCopied(kind, scene, versions.v2);
      const several = requestsFor(scene.from, versions.app).filter((request) => request.includes(','));
      assert.ok(several.length <= 2, several.join('; '));
      // The next run knows it from the cache.
      scene.from.reset();
      scene.to.remove('app', versions.app);
      await copyTo(kind, { ...scene, directory: `${scene.directory}-2` }, '2', { force: true });
      assert.equal(requestsFor(scene.from, versions.app).filter((request) => request.includes(',')).length, 0);
    });
  }

  for (const multiRange of ['coalesce', 'reorder', 'preamble', 'unquoted-colon-boundary'] as const) {
    test(`parts that come as "${multiRange}" are put where they belong, into a ${kind} (behaviour 7)`, async (t) => {
      const scene = await openScene(t, { from: { multiRange }, to: { multiRange } });
      const versions = await versionsOf('zstdchunked');
      await withV1(kind, scene, versions);
      assert.equal((await copyTo(kind, scene, '2')).blobs.partial, 1);
      assert.equal(requestsFor(scene.from, versions.app).length, 2);
      await assertCopied(kind, scene, versions.v2);
    });
  }

  test(`a source that ignores ranges sends the layer once, into a ${kind}`, async (t) => {
    const scene = await openScene(t, { from: { ranges: false } });
    const versions = await versionsOf('zstdchunked');
    await withV1(kind, scene, versions);
    const { bytes } = await copyTo(kind, scene, '2');
    assert.equal(requestsFor(scene.from, versions.app).length, 1);
    assert.equal(bytes.fetched, bytesOf(versions.v2) - baseBytes(versions));
    await assertCopied(kind, scene, versions.v2);
  });

  test(`a large layer is fetched by ranges at a time, or as one where these are ignored, into a ${kind}`, async (t) => {
    for (const ranges of [true, false]) {
      const scene = await openScene(t, { from: { ranges } });
      const image = buildImage({ layers: [randomBytes('large', 24 * MiB)] });
      scene.from.seed('app', '1', image);
      // What comes faster is taken as one stream.
      scene.from.behave({ match: { path: /blobs|manifests/ }, latencyMs: 50 });
      const { bytes } = await copyTo(kind, scene, '1');
      const requests = requestsFor(scene.from, topLayer(image));
      assert.equal(requests.length, ranges ? 24 : 1, requests.join('; '));
      assert.ok(!ranges || scene.from.peak({ path: new RegExp(topLayer(image)) }) >= 5);
      assert.equal(bytes.fetched, bytesOf(image));
      await assertCopied(kind, scene, image);
    }
  });
}

test('an old blob that is deleted at the registry meanwhile is replaced by the source', async (t) => {
  const scene = await openScene(t);
  const versions = await versionsOf('zstdchunked');
  await withV1('registry', scene, versions);
  const path = new RegExp(versions.app);
  scene.from.behave({ match: { path }, call: () => scene.to.remove('app', versions.old) });
  const { bytes } = await copyTo('registry', scene, '2');
  assert.ok(bytes.fetched >= versions.v2.blobs.get(versions.app)!.length);
  await assertCopied('registry', scene, versions.v2);
});

test('old bytes that are wrong at the registry are noticed, and the layer is sent whole', async (t) => {
  const scene = await openScene(t);
  const versions = await versionsOf('zstdchunked');
  await withV1('registry', scene, versions);
  const wrong = Buffer.from(versions.v1.blobs.get(versions.old)!).fill(0, 200_000, 500_000);
  scene.to.seedBlob('app', wrong, versions.old);
  const { blobs } = await copyTo('registry', scene, '2');
  assert.equal(blobs.partial, 0);
  await assertCopied('registry', scene, versions.v2);
});

test('old bytes that are wrong in a directory are noticed, and fetched after all', async (t) => {
  const scene = await openScene(t);
  const versions = await versionsOf('zstdchunked');
  await withV1('dir', scene, versions);
  {
    await using file = await open(join(scene.directory, digestHex(versions.old)), 'r+');
    await file.write(Buffer.alloc(300_000), 0, 300_000, 200_000);
  }
  const { bytes } = await copyTo('dir', scene, '2');
  assert.ok(bytes.fetched < 1.1 * bytesOf(versions.v2), `${bytes.fetched} bytes came`);
  await assertCopied('dir', scene, versions.v2);
});

function bytesOf({ blobs }: TestImage): number {
  return [...blobs.values()].reduce((sum, { length }) => sum + length, 0);
}

/** Of the blobs that both versions have. */
function baseBytes({ v1, v2 }: Versions): number {
  return [...v2.blobs].reduce((sum, [digest, { length }]) => sum + (v1.blobs.has(digest) ? length : 0), 0);
}
