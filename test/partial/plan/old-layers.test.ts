import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noCache } from '../../../src/cache/no-cache.ts';
import { digestOf } from '../../../src/digest/digest.ts';
import { ImgcopyError } from '../../../src/errors/imgcopy-error.ts';
import { OldLayers } from '../../../src/partial/plan/old-layers.ts';
import type { BlobInfoCache, ChunkedBlob } from '../../../src/contract/blob-info-cache.ts';
import type { BlobInfo, RawManifest } from '../../../src/contract/blob-info.ts';
import { buildImage, buildIndex, randomBytes } from '../../support/images.ts';
import { infoOf } from '../../support/registry-transport.ts';

const MiB = 1024 * 1024;
const own = { registry: 'registry.test', repository: 'app' };
const platform = { os: 'linux', architecture: 'arm64' };
const eStargz = { 'containerd.io/snapshot/stargz/toc.digest': digestOf(Buffer.from('toc')) };

const layers = ['base', 'app', 'top'].map((seed) => randomBytes(seed, MiB));
const image = buildImage({ layers, layerAnnotations: [eStargz, eStargz, undefined], platform });
const index = buildIndex({ images: [{ image, platform }] });
const [base, app, top] = layers.map((bytes) => infoOf(bytes)) as [BlobInfo, BlobInfo, BlobInfo];
const chunkedLayer: BlobInfo = { ...infoOf(Buffer.from('new')), size: 2 * MiB, annotations: eStargz };
const plainLayer: BlobInfo = { ...chunkedLayer, annotations: undefined };

interface Found {
  readonly digests: readonly string[];
  /** How many manifests were asked for. */
  readonly asked: number;
}

interface Job {
  readonly info?: BlobInfo;
  readonly current?: RawManifest | undefined;
  readonly layerIndex?: number;
  readonly cache?: BlobInfoCache;
  readonly times?: number;
}

async function find({
  info = chunkedLayer,
  current = image.manifest,
  layerIndex = 1,
  cache,
  times = 1,
}: Job): Promise<Found> {
  let asked = 0;
  const getManifest = async (): Promise<RawManifest> => {
    asked += 1;
    return Promise.resolve(image.manifest);
  };
  const oldLayers = new OldLayers(() => Promise.resolve(current === undefined ? [] : [current]), getManifest, own);
  const options = { layerIndex, platform, cache };
  const found = await Promise.all(Array.from({ length: times }, () => oldLayers.find(info, options)));
  return { digests: found[0]!.map((candidate) => candidate.info.digest), asked };
}

function cacheOf(chunked: readonly ChunkedBlob[]): BlobInfoCache {
  return { ...noCache(), chunkedBlobs: (_location, limit) => chunked.slice(0, limit) };
}

function chunkedBlob({ digest, size }: BlobInfo): ChunkedBlob {
  return { digest, size, format: 'estargz' };
}

test('the layer at the same place comes first, then others that are chunked', async () => {
  assert.deepEqual((await find({ layerIndex: 1 })).digests, [app.digest, base.digest]);
  assert.deepEqual((await find({ layerIndex: 2 })).digests, [top.digest, base.digest, app.digest]);
  assert.deepEqual((await find({ layerIndex: 7 })).digests, [base.digest, app.digest]);
});

test('the blob itself is none, nor is what is too small to have a table of contents', async () => {
  assert.deepEqual((await find({ info: { ...app, annotations: eStargz }, layerIndex: 1 })).digests, [base.digest]);
  const small = buildImage({ layers: [randomBytes('small', MiB - 1)], layerAnnotations: [eStargz] });
  assert.deepEqual((await find({ current: small.manifest, layerIndex: 0 })).digests, []);
});

test('blobs that only the cache knows of come last, two at most', async () => {
  const others = ['one', 'two', 'three'].map((name) => chunkedBlob({ ...infoOf(Buffer.from(name)), size: MiB }));
  const cache = cacheOf([chunkedBlob(top), ...others]);
  const { digests } = await find({ layerIndex: 1, cache });
  assert.deepEqual(digests, [app.digest, base.digest, top.digest, others[0]!.digest, others[1]!.digest]);
});

test('of an index the instance of the same platform is looked at, and asked for once', async () => {
  assert.deepEqual(await find({ current: index.manifest, times: 5 }), { digests: [app.digest, base.digest], asked: 1 });
});

test('a layer that says nothing of chunks is not worth a request for an instance', async () => {
  assert.deepEqual(await find({ info: plainLayer, current: index.manifest }), { digests: [], asked: 0 });
  const large = { ...plainLayer, size: 16 * MiB };
  assert.equal((await find({ info: large, current: index.manifest })).asked, 1);
});

test('an image that cannot be read has no layers', async () => {
  const garbage = { ...image.manifest, bytes: Buffer.from('{"layers": 7}') };
  assert.deepEqual((await find({ current: garbage })).digests, []);
  const options = { places: [{ layerIndex: 0, platform }], cache: undefined };
  const damaged = new ImgcopyError('manifest.json is damaged', { code: 'ERR_INVALID_MANIFEST' });
  const failing = new OldLayers(
    () => Promise.reject(damaged),
    () => Promise.reject(damaged),
    undefined,
  );
  assert.deepEqual(await failing.find(chunkedLayer, options), []);
  const gone = new OldLayers(
    () => Promise.resolve([index.manifest]),
    () => Promise.reject(damaged),
    undefined,
  );
  assert.deepEqual(await gone.find(chunkedLayer, options), []);
  const none = new OldLayers(
    () => Promise.resolve([]),
    () => Promise.reject(damaged),
    undefined,
  );
  assert.deepEqual(await none.find(chunkedLayer, options), []);
});

test('a layer that several images share is looked for at each of its places', async () => {
  const other = { os: 'linux', architecture: 's390x' };
  const old = new OldLayers(
    () => Promise.resolve([index.manifest]),
    () => Promise.resolve(image.manifest),
    own,
  );
  const places = [
    { layerIndex: 7, platform: other },
    { layerIndex: 2, platform },
  ];
  const found = await old.find(chunkedLayer, { places, cache: undefined });
  const predecessors = found.filter(({ isPredecessor }) => isPredecessor);
  assert.deepEqual(
    predecessors.map((candidate) => candidate.info.digest),
    [top.digest],
  );
});

test('of several images, the first one’s layer at the same place comes first, then those of about the same size', async () => {
  const like = (seed: string, size: number): { readonly image: RawManifest; readonly digest: string } => {
    const bytes = randomBytes(seed, size);
    const built = buildImage({ layers: [bytes, bytes.subarray(1)], layerAnnotations: [eStargz, undefined], platform });
    return { image: built.manifest, digest: digestOf(bytes) };
  };
  const [first, far, near] = [like('first', 5 * MiB), like('far', 9 * MiB), like('near', 2 * MiB + 7)];
  const damaged = { ...image.manifest, bytes: Buffer.from('{') };
  const old = new OldLayers(
    () => Promise.resolve([damaged, first.image, far.image, near.image]),
    () => Promise.reject(new Error('no index is asked for')),
    undefined,
  );
  const found = await old.find(chunkedLayer, { layerIndex: 0, platform, cache: undefined });
  assert.deepEqual(
    found.map((candidate) => candidate.info.digest),
    [first.digest, near.digest, far.digest],
  );
});
