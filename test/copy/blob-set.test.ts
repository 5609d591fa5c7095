import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlobSet } from '../../src/copy/blob-set.ts';
import { ImgcopyError } from '../../src/errors/imgcopy-error.ts';
import type { ImageDestination, PutBlobPartialOptions } from '../../src/contract/image-destination.ts';
import { fakeRun, layerOf } from '../support/fakes.ts';
import { randomBytes } from '../support/images.ts';

const [first, second] = [randomBytes('first', 1000), randomBytes('second', 500)];
const [one, two] = [layerOf(first), layerOf(second)];
const blobs = [first, second];

/** A destination that claims to have some blobs, and to have mounted others. */
function claiming(
  mounted: readonly string[],
  reused: readonly string[] = [],
): Pick<ImageDestination, 'tryReusingBlobWithOptions'> {
  return {
    tryReusingBlobWithOptions: async ({ digest, size }, { lookOnly }) => {
      if (lookOnly === true) return { reused: false };
      if (mounted.includes(digest)) return { reused: true, digest, size, mountedFrom: 'elsewhere' };
      return reused.includes(digest) ? { reused: true, digest, size } : { reused: false };
    },
  };
}

test('moves each digest once, and says how many there are (behaviour 19)', async () => {
  const { run, calls, events } = fakeRun({ blobs });
  const set = new BlobSet(run);
  const copies = [set.copy(one), set.copy(two), set.copy({ ...one, layerIndex: 2 }), set.copy(two)];
  assert.equal(copies[0], copies[2]);
  assert.equal(copies[1], copies[3]);
  await Promise.all(copies);
  assert.equal(calls.filter((call) => call === 'getBlob').length, 2);
  assert.deepEqual(
    events.filter((event) => event.type === 'planned'),
    [
      { type: 'planned', blobs: 1, bytes: 1000 },
      { type: 'planned', blobs: 2, bytes: 1500 },
    ],
  );
  const results = await set.results();
  assert.deepEqual(
    results.map(({ digest, outcome }) => ({ digest, outcome })),
    [
      { digest: one.info.digest, outcome: 'copied' },
      { digest: two.info.digest, outcome: 'copied' },
    ],
  );
});

test('knows what a blob is to each manifest that names it', async () => {
  const seen: PutBlobPartialOptions['places'][] = [];
  const { run } = fakeRun({
    blobs,
    destination: {
      putBlobPartial: async (_accessor, { digest, size }, { places }) => (
        seen.push(places),
        { digest, size, bytesReused: 1 }
      ),
    },
  });
  const set = new BlobSet(run);
  const platforms = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }));
  const asConfig = { ...one, isConfig: true, layerIndex: undefined };
  const uses = platforms.map((platform, layerIndex) => ({ ...one, layerIndex, platform }));
  await Promise.all([asConfig, ...uses].map((blob) => set.copy(blob)));
  assert.deepEqual(seen, [platforms.map((platform, layerIndex) => ({ layerIndex, platform }))]);
});

test('asks for a layer once for each form of manifest that may name a substitute for it', async () => {
  const { run, calls } = fakeRun({ blobs });
  const set = new BlobSet(run);
  const substitutable = { manifestMediaType: 'application/vnd.oci.image.manifest.v1+json' };
  const oci = layerOf(first, { substitutable, info: { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' } });
  const docker = layerOf(first, {
    substitutable: { manifestMediaType: 'application/vnd.docker.distribution.manifest.v2+json' },
    info: { mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip' },
  });
  assert.equal(set.copy(oci), set.copy({ ...oci, layerIndex: 7 }));
  assert.notEqual(set.copy(oci), set.copy(docker));
  assert.notEqual(set.copy(oci), set.copy(one), 'what must stay as it is does not follow what may change');
  await set.settled();
  assert.equal(calls.filter((call) => call === 'tryReusingBlobWithOptions').length, 3);
});

test('never writes a digest twice at the same time, whatever may stand in for it', async () => {
  const writers = { now: 0, most: 0 };
  const { run, calls } = fakeRun({
    blobs,
    destination: {
      putBlobWithOptions: async (stream, { digest = 'sha256:', size = 0 }) => {
        writers.now += 1;
        writers.most = Math.max(writers.most, writers.now);
        await stream.toArray();
        writers.now -= 1;
        return { digest, size };
      },
    },
  });
  const set = new BlobSet(run);
  const forms = ['oci', 'docker'].map((form) =>
    layerOf(first, { substitutable: { manifestMediaType: form }, info: { mediaType: form } }),
  );
  await Promise.all([one, ...forms].map((blob) => set.copy(blob)));
  assert.equal(calls.filter((call) => call === 'putBlobWithOptions').length, 3);
  assert.equal(writers.most, 1);
});

test('refuses a digest that comes with another size', async () => {
  const { run } = fakeRun({ blobs });
  const set = new BlobSet(run);
  const copied = set.copy(one);
  assert.throws(() => set.copy({ ...one, info: { ...one.info, size: one.info.size + 1 } }), {
    code: 'ERR_CONTENT_MISMATCH',
    kind: 'integrity',
  });
  await copied;
});

test('sends what was said to be there, and only that, when it is not', async () => {
  const { run, calls, stored } = fakeRun({ blobs, destination: claiming([one.info.digest]) });
  const set = new BlobSet(run);
  await Promise.all([set.copy(one), set.copy(two)]);
  calls.length = 0;
  assert.equal(await set.sendMissing([one, two]), true);
  assert.deepEqual(calls, ['tryReusingBlobWithOptions', 'getBlob', 'putBlobWithOptions']);
  assert.deepEqual(stored.get(one.info.digest), first);
  assert.deepEqual(
    (await set.results()).map(({ outcome }) => outcome),
    ['copied', 'copied'],
  );
});

test('has nothing to send again where every blob was sent', async () => {
  const { run } = fakeRun({ blobs });
  const set = new BlobSet(run);
  await Promise.all([set.copy(one), set.copy(two)]);
  assert.equal(await set.sendMissing([one, two]), false);
});

test('sends a blob again once, whatever number of manifests miss it', async () => {
  const { run, calls } = fakeRun({ blobs, destination: claiming([one.info.digest], [two.info.digest]) });
  const set = new BlobSet(run);
  await Promise.all([set.copy(one), set.copy(two)]);
  const together = await Promise.all([set.sendMissing([one, two]), set.sendMissing([one])]);
  const later = await set.sendMissing([one]);
  assert.deepEqual([...together, later], [true, true, true], 'each of them may put its manifest once more');
  assert.equal(calls.filter((call) => call === 'getBlob').length, 2);
});

test('settles when all blobs have ended, the failed ones included', async () => {
  const held = Promise.withResolvers<void>();
  const { run, stored } = fakeRun({
    blobs,
    destination: {
      tryReusingBlobWithOptions: async ({ digest }) => {
        if (digest === one.info.digest) throw new ImgcopyError('it fails', { code: 'ERR_TEST' });
        await held.promise;
        return { reused: false };
      },
    },
  });
  const set = new BlobSet(run);
  await assert.rejects(Promise.all([set.copy(one), set.copy(two)]), { code: 'ERR_TEST' });
  const settled = set.settled();
  assert.equal(stored.size, 0);
  held.resolve();
  await settled;
  assert.equal(stored.size, 1);
});
