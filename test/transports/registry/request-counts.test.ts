import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { parseManifest } from '../../../src/manifest/parse-manifest.ts';
import type { BlobInfoCache } from '../../../src/contract/blob-info-cache.ts';
import type { BlobInfo, RawManifest } from '../../../src/contract/blob-info.ts';
import type { ImageDestination } from '../../../src/contract/image-destination.ts';
import type { ImageSource } from '../../../src/contract/image-source.ts';
import { currentDigest } from '../../support/current-digest.ts';
import { buildImage, buildIndex } from '../../support/images.ts';
import { startRegistry } from '../../support/registry.ts';
import { cacheKnowing, destinationAt, openAccess, sourceAt } from '../../support/registry-transport.ts';
import { inWaves } from '../../support/waves.ts';

const LAYERS = 5;
const image = buildImage({ layers: { count: LAYERS, size: 1000 } });
/** The config is a blob too. */
const BLOBS = LAYERS + 1;
const options = { timeout: 20_000 };

interface Job {
  readonly source: ImageSource;
  readonly destination: ImageDestination;
  readonly cache?: BlobInfoCache | undefined;
}

/** Copies as the pipeline does: whatever can be asked at once is asked at once. */
async function copy(job: Job): Promise<void> {
  const { source, destination } = job;
  const [root, current] = await Promise.all([source.getManifest(), currentDigest(destination)]);
  if (root.digest === current) return;
  await copyContent(job, root);
  await destination.putManifest(root);
}

async function copyContent(job: Job, raw: RawManifest): Promise<void> {
  const manifest = parseManifest(raw.bytes, raw.mediaType);
  if (manifest.kind === 'index') {
    await Promise.all(
      manifest.manifests.map(async ({ digest }) => {
        const instance = await job.source.getManifest({ instanceDigest: digest });
        await copyContent(job, instance);
        await job.destination.putManifest(instance, { instanceDigest: digest });
      }),
    );
  } else if (manifest.kind === 'image' && manifest.config !== undefined) {
    await Promise.all([...manifest.layers, manifest.config].map((blob) => copyBlob(job, blob)));
  }
}

async function copyBlob({ source, destination, cache }: Job, info: BlobInfo): Promise<void> {
  const srcRef = source.servedFrom?.(info.digest);
  const read = async (): Promise<Buffer[]> => await (await source.getBlob(info)).stream.toArray();
  const early = destination.expectsMissing?.(info, { srcRef }) ? read() : undefined;
  const reused = await destination.tryReusingBlobWithOptions(info, { srcRef, cache });
  if (reused.reused) return;
  await destination.putBlobWithOptions(Readable.from(await (early ?? read())), info, { cache });
}

test('asks both sides for their manifest at once, and nothing more where they are the same', options, async () => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  from.seed('app', 'v1', image);
  to.seed('copy', 'v1', image);
  await using access = openAccess();
  await using source = await sourceAt(access, from, 'app:v1');
  await using destination = await destinationAt(access, to, 'copy:v1');
  const [manifests] = inWaves([from, to], [2]);
  await copy({ source, destination });
  assert.deepEqual(manifests?.toSorted(), ['GET /v2/app/manifests/v1', 'GET /v2/copy/manifests/v1']);
  assert.equal(from.count() + to.count(), 2);
});

test('copies a new image of n small blobs in 4 waits and 2 + 4n + 1 requests (behaviour 62)', options, async () => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  from.seed('app', 'v1', image);
  await using access = openAccess();
  await using source = await sourceAt(access, from, 'app:v1');
  await using destination = await destinationAt(access, to, 'app:v1');
  const [, second, third, fourth] = inWaves([from, to], [2, 3 * BLOBS, BLOBS, 1]);
  await copy({ source, destination });
  assert.deepEqual(countMethods(second), { GET: BLOBS, HEAD: BLOBS, POST: BLOBS });
  assert.deepEqual(countMethods(third), { PUT: BLOBS });
  assert.deepEqual(fourth, ['PUT /v2/app/manifests/v1']);
  assert.equal(from.count() + to.count(), 2 + 4 * BLOBS + 1);
  assert.deepEqual(to.manifest('app', 'v1')?.bytes, image.manifest.bytes);
});

test('of many small blobs asks for six by HEAD: 2 + 3n + 6 + 1 requests, in as many waits', options, async () => {
  const many = buildImage({ layers: { count: 15, size: 1000 } });
  await using from = await startRegistry();
  await using to = await startRegistry();
  from.seed('app', 'v1', many);
  await using access = openAccess();
  await using source = await sourceAt(access, from, 'app:v1');
  await using destination = await destinationAt(access, to, 'app:v1');
  const [, second] = inWaves([from, to], [2, 16 + 16 + 6, 16, 1]);
  await copy({ source, destination });
  assert.deepEqual(countMethods(second), { GET: 16, HEAD: 6, POST: 16 });
  assert.equal(from.count() + to.count(), 2 + 3 * 16 + 6 + 1);
  assert.deepEqual(to.manifest('app', 'v1')?.bytes, many.manifest.bytes);
});

test('needs 2 + 3n + 1 requests where the self-mount is proven: no HEAD any more', options, async () => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  from.seed('app', 'v1', image);
  await using access = openAccess();
  await using source = await sourceAt(access, from, 'app:v1');
  await using destination = await destinationAt(access, to, 'app:v1');
  const [, second] = inWaves([from, to], [2, 2 * BLOBS, BLOBS, 1]);
  await copy({ source, destination, cache: cacheKnowing({ 'self-mount': 1 }) });
  assert.deepEqual(countMethods(second), { GET: BLOBS, POST: BLOBS });
  assert.equal(to.count({ method: 'HEAD' }), 0);
  assert.equal(from.count() + to.count(), 2 + 3 * BLOBS + 1);
  assert.deepEqual(to.tags('app'), ['v1']);
});

test('mounts every blob of the same registry in 3 waits and 2 + n + 1 requests (behaviour 68)', options, async () => {
  await using registry = await startRegistry();
  registry.seed('team/app', 'v1', image);
  await using access = openAccess();
  await using source = await sourceAt(access, registry, 'team/app:v1');
  await using destination = await destinationAt(access, registry, 'copy:v1', { source: source.servedFrom() });
  // The first request to a host goes out alone: it learns how to authenticate there.
  await source.getManifestDigest();
  registry.reset();
  const [, second] = inWaves([registry], [2, BLOBS, 1]);
  await copy({ source, destination });
  const mounts = [...image.blobs.keys()].map(
    (digest) => `POST /v2/copy/blobs/uploads/?mount=${digest}&from=team%2Fapp`,
  );
  assert.deepEqual(second?.toSorted(), mounts.toSorted());
  assert.equal(registry.count(), 2 + BLOBS + 1);
  assert.deepEqual(registry.manifest('copy', 'v1')?.bytes, image.manifest.bytes);
});

test('takes 2 waits more for an index: its instances are read at once, and written at once', options, async () => {
  const images = ['amd64', 'arm64', 's390x'].map((architecture) =>
    buildImage({ layers: { count: 1, size: 1000, seed: architecture }, platform: { os: 'linux', architecture } }),
  );
  const index = buildIndex({ images: images.map((one) => ({ image: one })) });
  const [instances, blobs] = [images.length, 2 * images.length];
  await using from = await startRegistry();
  await using to = await startRegistry();
  from.seed('app', 'v1', index);
  await using access = openAccess();
  await using source = await sourceAt(access, from, 'app:v1');
  await using destination = await destinationAt(access, to, 'app:v1');
  const waves = inWaves([from, to], [2, instances, 3 * blobs, blobs, instances, 1]);
  await copy({ source, destination });
  assert.deepEqual(countMethods(waves[1]), { GET: instances });
  assert.deepEqual(countMethods(waves[4]), { PUT: instances });
  assert.deepEqual(waves[5], ['PUT /v2/app/manifests/v1']);
  assert.equal(from.count() + to.count(), 2 + 2 * instances + 4 * blobs + 1);
});

test('uses one connection for each request in flight at most, and keeps it (behaviour 53)', options, async () => {
  const many = buildImage({ layers: { count: 50, size: 1000 } });
  await using from = await startRegistry();
  await using to = await startRegistry();
  from.seed('app', 'v1', many);
  from.seed('app', 'v2', image);
  await using access = openAccess();
  const copyTag = async (tag: string): Promise<void> => {
    await using source = await sourceAt(access, from, `app:${tag}`);
    await using destination = await destinationAt(access, to, `app:${tag}`);
    await copy({ source, destination });
  };
  await copyTag('v1');
  assert.equal(to.blobs('app').length, 51);
  const limitOf = (host: string): number =>
    access.gates.limitOf(host, 'blob-read') + access.gates.limitOf(host, 'blob-write');
  for (const { host, connections } of [from, to]) assert.ok(connections <= limitOf(host), `${connections}`);
  to.reset();
  from.reset();
  await copyTag('v2');
  assert.deepEqual([from.connections, to.connections], [0, 0]);
});

function countMethods(requests: readonly string[] = []): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const request of requests.toSorted()) {
    const method = request.slice(0, request.indexOf(' '));
    counts[method] = (counts[method] ?? 0) + 1;
  }
  return counts;
}
