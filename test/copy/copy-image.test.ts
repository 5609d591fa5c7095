import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copyImage } from '../../src/copy/copy-image.ts';
import type { PreparedRun } from '../../src/copy/copy-run.ts';
import { ImgcopyError, isAbort } from '../../src/errors/imgcopy-error.ts';
import type { RawManifest } from '../../src/contract/blob-info.ts';
import { MissingBlobsError } from '../../src/contract/errors.ts';
import type { CurrentManifest, ImageDestination, ManifestPresence } from '../../src/contract/image-destination.ts';
import { fakeRun, type FakeRun, type FakeRunOptions } from '../support/fakes.ts';
import { buildImage, buildIndex } from '../support/images.ts';

const image = buildImage({ layers: { count: 2, size: 1000 } });
const { digest, mediaType, bytes } = image.manifest;
const [imageId] = image.blobs.keys();
const platforms = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }));
const images = platforms.map((platform) =>
  buildImage({ layers: { count: 1, size: 500, seed: platform.architecture }, platform }),
);
const other = buildImage({ layers: { count: 1, size: 500, seed: 's390x' } });
const index = buildIndex({
  images: [...images, other].map((one, position) => ({ image: one, platform: platforms[position] })),
});

function prepared(options: FakeRunOptions): FakeRun & { readonly ready: PreparedRun } {
  const fake = fakeRun(options);
  return { ...fake, ready: { ...fake.run, openCache: async () => fake.run.cache } };
}

test('writes the manifest when its blobs are there, signatures after it, and commits last (behaviour 21)', async () => {
  const { ready, calls, manifests } = prepared({
    image,
    destination: { putSignaturesWithFormat: async () => undefined },
  });
  const copied = await copyImage(ready);
  assert.deepEqual(calls.slice(-3), ['putManifest', 'putSignaturesWithFormat', 'commit']);
  assert.equal(calls.filter((call) => call === 'putBlobWithOptions').length, 3);
  assert.deepEqual(manifests, [image.manifest]);
  const { blobs, ...result } = copied;
  assert.deepEqual(result, { digest, mediaType, size: bytes.length, imageId, manifests: 1, skipped: undefined });
  assert.equal(blobs.length, 3);
});

test('writes each instance when its own blobs are there, and the index last (behaviour 20)', async () => {
  const { ready, manifests } = prepared({ image: index });
  assert.equal((await copyImage(ready)).manifests, 4);
  assert.deepEqual(digestsOf(manifests), digestsOf([...index.instances, index.manifest]));
  assert.equal(manifests.at(-1), index.manifest);
});

test('reads the source before it writes a byte (behaviour 34)', async () => {
  const failure = new ImgcopyError('GET: 404', { code: 'ERR_NOT_FOUND', kind: 'not-found', side: 'source' });
  const { ready, calls } = prepared({ image, source: { getManifest: async () => Promise.reject(failure) } });
  await assert.rejects(copyImage(ready), failure);
  assert.deepEqual(calls, ['getManifest']);
});

test('makes and locks nothing at the destination for a source that cannot be read, and asks it nothing before', async () => {
  const failure = new ImgcopyError('GET: 404', { code: 'ERR_NOT_FOUND', kind: 'not-found', side: 'source' });
  const begun: string[] = [];
  const begin = async (): Promise<void> => void begun.push('begin');
  const currentManifest = async (): Promise<ManifestPresence> => (begun.push('currentManifest'), { state: 'absent' });
  const missing = prepared({ source: { getManifest: async () => Promise.reject(failure) }, destination: { begin } });
  await assert.rejects(copyImage(missing.ready), failure);
  assert.deepEqual(begun, []);
  const { ready, calls } = prepared({ image, destination: { begin, currentManifest } });
  await copyImage(ready, { noClobber: true });
  assert.deepEqual(calls.slice(0, 2), ['getManifest', 'begin']);
  assert.deepEqual(begun.slice(0, 2), ['begin', 'currentManifest']);
});

test('does nothing where the destination has this very image, and all it can where it is told to', async () => {
  const destination = { currentManifest: holding(image.manifest) };
  const { ready, calls } = prepared({ image, destination });
  assert.deepEqual(await copyImage(ready), {
    digest,
    mediaType,
    size: bytes.length,
    imageId,
    manifests: 0,
    blobs: [],
    skipped: 'same',
  });
  assert.deepEqual(calls, ['getManifest', 'commit'], 'what a run that was cut left behind is tidied up');
  assert.equal((await copyImage(ready, { force: true })).skipped, undefined);
  assert.deepEqual(calls.slice(-2), ['putManifest', 'commit']);
});

test('replaces what is too damaged to be read when it is forced, and else says what is wrong', async () => {
  const failure = new ImgcopyError('GET: 500', { code: 'ERR_REGISTRY_FAULT', side: 'destination' });
  const { ready } = prepared({ image, destination: { currentManifest: async () => Promise.reject(failure) } });
  assert.equal((await copyImage(ready, { force: true })).digest, digest);
  for (const options of [{}, { additionalTags: ['latest'] }]) await assert.rejects(copyImage(ready, options), failure);
  await assert.rejects(copyImage(ready, { noClobber: true }), { code: 'ERR_REGISTRY_FAULT', cause: failure });
});

test('asks a source that meters manifests for the digest first', async () => {
  const source = { metersManifestReads: true };
  const same = prepared({
    image,
    source,
    destination: { currentManifest: holding(image.manifest) },
  });
  assert.equal((await copyImage(same.ready)).skipped, 'same');
  assert.deepEqual(same.calls, ['commit']);
  const changed = prepared({ image, source });
  assert.equal((await copyImage(changed.ready)).skipped, undefined);
  const untold = prepared({ image, source: { ...source, getManifestDigest: async () => undefined } });
  assert.equal((await copyImage(untold.ready)).digest, digest);
});

test('leaves an image alone that must not be replaced, and asks the source for nothing', async () => {
  const { ready, calls } = prepared({
    image,
    destination: { currentManifest: holding({ ...other.manifest, bytes: undefined }) },
  });
  const copied = await copyImage(ready, { noClobber: true });
  assert.deepEqual([copied.skipped, copied.digest], ['exists', other.manifest.digest]);
  assert.deepEqual(calls, []);
  const empty = prepared({ image });
  assert.equal((await copyImage(empty.ready, { noClobber: true })).skipped, undefined);
});

test('does not take a sparse index for the instances that are wanted', async () => {
  const { ready, manifests } = prepared({
    image: index,
    destination: { currentManifest: holding(index.manifest) },
  });
  const copied = await copyImage(ready, { platforms, sparse: true });
  assert.equal(copied.skipped, undefined);
  assert.deepEqual(digestsOf(manifests), digestsOf([...images.map(({ manifest }) => manifest), index.manifest]));
});

test('puts the manifest once more after blobs were sent that should have been there', async () => {
  let puts = 0;
  const putManifest: ImageDestination['putManifest'] = async () => {
    puts += 1;
    if (puts === 1) throw new MissingBlobsError(new Error('MANIFEST_BLOB_UNKNOWN'));
  };
  const tryReusingBlobWithOptions: ImageDestination['tryReusingBlobWithOptions'] = async (info, { lookOnly }) =>
    lookOnly === true ? { reused: false } : { reused: true, digest: info.digest, size: info.size };
  const { ready, stored } = prepared({ image, destination: { putManifest, tryReusingBlobWithOptions } });
  const copied = await copyImage(ready);
  assert.equal(puts, 2);
  assert.deepEqual([...stored.keys()].toSorted(), [...image.blobs.keys()].toSorted());
  assert.deepEqual(
    copied.blobs.map(({ outcome }) => outcome),
    ['copied', 'copied', 'copied'],
  );
});

test('tells a refusal that only may be about blobs as it is, where all of them prove to be there', async () => {
  const refusal = new Error('MANIFEST_INVALID');
  let puts = 0;
  const putManifest: ImageDestination['putManifest'] = async () => {
    puts += 1;
    throw new MissingBlobsError(refusal, { isSuspicion: true });
  };
  const tryReusingBlobWithOptions: ImageDestination['tryReusingBlobWithOptions'] = async (info) => ({
    reused: true,
    digest: info.digest,
    size: info.size,
  });
  const { ready, delays } = prepared({ image, destination: { putManifest, tryReusingBlobWithOptions } });
  await assert.rejects(copyImage(ready), (error) => error instanceof Error && error.cause === refusal);
  assert.deepEqual([puts, delays], [1, []]);
});

test('puts the manifest once more, after a while, where a registry does not see yet what it was sent', async () => {
  const missing = new MissingBlobsError(new Error('MANIFEST_BLOB_UNKNOWN'));
  for (const lagging of [1, 2]) {
    let puts = 0;
    const putManifest: ImageDestination['putManifest'] = async () => {
      puts += 1;
      if (puts <= lagging) throw missing;
    };
    const { ready, calls, delays } = prepared({ image, destination: { putManifest } });
    const copy = copyImage(ready);
    if (lagging === 1) assert.equal((await copy).digest, digest);
    else await assert.rejects(copy, { code: 'ERR_MISSING_BLOBS' });
    assert.deepEqual([puts, delays], [2, [500]]);
    assert.equal(calls.filter((call) => call === 'putBlobWithOptions').length, 3, 'no blob is sent again');
  }
});

test('reports the failure that was first, and ends the other transfers before that (behaviour 18)', async () => {
  const [slow, failing] = [...image.blobs.keys()];
  const reasons: unknown[] = [];
  const { ready, calls } = prepared({
    image,
    destination: {
      tryReusingBlobWithOptions: async ({ digest: asked }, { signal }) => {
        if (asked === failing) throw new ImgcopyError('the first', { code: 'ERR_FIRST' });
        if (asked !== slow) throw new ImgcopyError('the second', { code: 'ERR_SECOND' });
        await new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve()));
        reasons.push(signal?.reason);
        throw new ImgcopyError('what an abort made of it', { code: 'ERR_LAST' });
      },
    },
  });
  await assert.rejects(copyImage(ready), {
    code: 'ERR_FIRST',
    message: /^copying layer sha256:\w+ to fake:destination$/,
  });
  assert.equal(reasons.length, 1, 'it was waited for');
  assert.ok(isAbort(reasons[0]));
  assert.ok(!calls.includes('putManifest') && !calls.includes('commit'));
});

test('ends with the abort when the user aborts', async () => {
  const controller = new AbortController();
  const { ready, calls } = prepared({
    image,
    run: { signal: controller.signal },
    destination: {
      tryReusingBlobWithOptions: async (_info, { signal }) => {
        controller.abort();
        signal?.throwIfAborted();
        return { reused: false };
      },
    },
  });
  await assert.rejects(copyImage(ready), (error) => isAbort(error));
  assert.ok(!calls.includes('putManifest'));
});

function holding(manifest: CurrentManifest): ImageDestination['currentManifest'] {
  return async () => ({ state: 'present', manifest });
}

function digestsOf(manifests: readonly RawManifest[]): readonly string[] {
  return manifests.map((manifest) => manifest.digest).toSorted();
}

test('says that the image was removed while it was looked at', async () => {
  const manifest: CurrentManifest = { digest, mediaType, bytes };
  const answers: ManifestPresence[] = [{ state: 'present', manifest }, { state: 'absent' }];
  const { ready } = prepared({
    image,
    destination: { currentManifest: async () => answers.shift() ?? assert.fail() },
  });
  await assert.rejects(copyImage(ready, { noClobber: true }), {
    code: 'ERR_DESTINATION_CHANGED',
    side: 'destination',
    hint: 'run the command again',
  });
});
