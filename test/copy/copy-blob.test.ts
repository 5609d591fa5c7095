import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copyBlob } from '../../src/copy/copy-blob.ts';
import { digestOf } from '../../src/digest/digest.ts';
import { ImgcopyError } from '../../src/errors/imgcopy-error.ts';
import { BadPartialRequestError, PartialBlobUnavailableError } from '../../src/contract/errors.ts';
import type { PutBlobPartialOptions, TryReusingBlobOptions } from '../../src/contract/image-destination.ts';
import { fakeRun, layerOf, type FakeRunOptions } from '../support/fakes.ts';
import { randomBytes } from '../support/images.ts';

const bytes = randomBytes('blob', 1000);
const blob = layerOf(bytes);
const { digest } = blob.info;
const size = bytes.length;

/** A destination that builds every blob from pieces. */
const partialDestination: NonNullable<FakeRunOptions['destination']> = {
  putBlobPartial: async () => ({ digest, size, bytesReused: 400 }),
};

test('takes a blob that the destination has, and opens nothing at the source (behaviour 16)', async () => {
  const { run, calls, events } = fakeRun({
    destination: {
      ...partialDestination,
      tryReusingBlobWithOptions: async () => ({ reused: true, digest, size }),
    },
  });
  const copied = await copyBlob(run, blob);
  assert.deepEqual(calls, ['tryReusingBlobWithOptions']);
  assert.equal(copied.outcome, 'reused');
  assert.deepEqual([copied.bytesFetched, copied.bytesReused], [0, size]);
  assert.deepEqual(events, [
    { type: 'blob-started', digest, size, name: 'layer' },
    {
      type: 'blob-done',
      digest,
      size,
      outcome: 'reused',
      bytesFetched: 0,
      bytesReused: size,
      bytesResumed: 0,
      from: undefined,
    },
  ]);
});

test('says where a blob was mounted from', async () => {
  const { run, events } = fakeRun({
    destination: { tryReusingBlobWithOptions: async () => ({ reused: true, digest, size, mountedFrom: 'team/base' }) },
  });
  assert.equal((await copyBlob(run, blob)).outcome, 'mounted');
  const done = events.find((event) => event.type === 'blob-done');
  assert.deepEqual([done?.outcome, done?.from], ['mounted', 'team/base']);
});

test('calls a blob of another digest substituted, and gives the digest and size that are there now', async () => {
  const other = { digest: digestOf(randomBytes('other', 10)), size: 10 };
  const { run } = fakeRun({
    destination: {
      tryReusingBlobWithOptions: async () => ({
        reused: true,
        ...other,
        mountedFrom: 'x',
        compressionAlgorithm: 'zstd',
      }),
    },
  });
  const { outcome, ...copied } = await copyBlob(run, blob);
  assert.equal(outcome, 'substituted');
  assert.deepEqual({ digest: copied.digest, size: copied.size }, other);
});

test('climbs down from reuse to pieces, and ends there', async () => {
  const { run, calls, stored } = fakeRun({ destination: partialDestination });
  const copied = await copyBlob(run, blob);
  assert.deepEqual(calls, ['tryReusingBlobWithOptions', 'putBlobPartial']);
  assert.deepEqual([copied.outcome, copied.bytesReused], ['partial', 400]);
  assert.equal(stored.size, 0);
});

test('calls a blob copied that was built without a single old piece', async () => {
  const putBlobPartial = async () => ({ digest, size, bytesReused: 0 });
  const { run } = fakeRun({ destination: { ...partialDestination, putBlobPartial } });
  assert.equal((await copyBlob(run, blob)).outcome, 'copied');
});

test('streams the whole blob where it cannot be built from pieces (behaviour 15)', async () => {
  const putBlobPartial = async () => Promise.reject(new PartialBlobUnavailableError('there are none'));
  const { run, calls, stored } = fakeRun({ blobs: [bytes], destination: { ...partialDestination, putBlobPartial } });
  const copied = await copyBlob(run, blob);
  assert.deepEqual(calls, ['tryReusingBlobWithOptions', 'putBlobPartial', 'getBlob', 'putBlobWithOptions']);
  assert.deepEqual([copied.outcome, copied.bytesFetched, copied.bytesReused], ['copied', size, 0]);
  assert.deepEqual(stored.get(digest), bytes);
});

test('ends the copy on any other failure of a partial blob (behaviour 15)', async () => {
  const failures = [
    new BadPartialRequestError(416, 'Range Not Satisfiable'),
    new ImgcopyError('no partial copy', { code: 'ERR_PARTIAL_BLOB_UNAVAILABLE' }),
    new Error('a mistake', { cause: new PartialBlobUnavailableError('below') }),
  ];
  for (const failure of failures) {
    const putBlobPartial = async () => Promise.reject(failure);
    const { run, calls } = fakeRun({ blobs: [bytes], destination: { ...partialDestination, putBlobPartial } });
    await assert.rejects(copyBlob(run, blob), (error: Error) => error.cause === failure);
    assert.deepEqual(calls, ['tryReusingBlobWithOptions', 'putBlobPartial']);
  }
});

test('ends the copy when the question whether the blob is there fails', async () => {
  const failure = new ImgcopyError('POST: 429', {
    code: 'ERR_RATE_LIMITED',
    kind: 'rate-limited',
    side: 'destination',
  });
  const { run, calls } = fakeRun({
    destination: { ...partialDestination, tryReusingBlobWithOptions: async () => Promise.reject(failure) },
  });
  await assert.rejects(copyBlob(run, blob), {
    message: `copying layer ${digest} to fake:destination`,
    code: 'ERR_RATE_LIMITED',
    kind: 'rate-limited',
    side: 'destination',
    cause: failure,
  });
  assert.deepEqual(calls, ['tryReusingBlobWithOptions']);
});

const wholeAtOnce: Readonly<Record<string, { options: FakeRunOptions; isConfig?: boolean }>> = {
  'the user wants it so': { options: { run: { partial: 'never' } } },
  'it is a config': { options: {}, isConfig: true },
  'the source gives no parts of blobs': { options: { source: { getBlobAt: undefined } } },
  'the destination builds no blobs': { options: { destination: {} } },
};
for (const [reason, { options, isConfig = false }] of Object.entries(wholeAtOnce)) {
  test(`streams the whole blob at once where ${reason}`, async () => {
    const { run, calls, stored } = fakeRun({ destination: partialDestination, ...options, blobs: [bytes] });
    await copyBlob(run, { ...blob, isConfig });
    assert.deepEqual(calls, ['tryReusingBlobWithOptions', 'getBlob', 'putBlobWithOptions']);
    assert.deepEqual(stored.get(digest), bytes);
  });
}

test('has the destination look for what it was wrong about before, and opens nothing beforehand', async () => {
  for (const isThere of [true, false]) {
    const asked: TryReusingBlobOptions[] = [];
    const { run, calls } = fakeRun({
      blobs: [bytes],
      destination: {
        expectsMissing: () => true,
        tryReusingBlobWithOptions: async (_info, options) => {
          asked.push(options);
          return isThere ? { reused: true, digest, size } : { reused: false };
        },
      },
    });
    const substitutable = { manifestMediaType: 'application/vnd.oci.image.manifest.v1+json' };
    const copied = await copyBlob(run, { ...blob, substitutable }, { isDoubted: true });
    assert.equal(copied.outcome, isThere ? 'reused' : 'copied');
    assert.deepEqual(
      asked.map(({ lookOnly, canSubstitute }) => [lookOnly, canSubstitute]),
      [[true, false]],
    );
    assert.equal(calls[0], 'tryReusingBlobWithOptions');
  }
});

test('tells the destination what it may want to know of the blob', async () => {
  const asked: (TryReusingBlobOptions | PutBlobPartialOptions)[] = [];
  const repository = { registry: 'registry.test', repository: 'team/app' };
  const platform = { os: 'linux', architecture: 'arm64' };
  const { run } = fakeRun({
    source: { servedFrom: () => repository },
    destination: {
      tryReusingBlobWithOptions: async (_info, options) => (asked.push(options), { reused: false }),
      putBlobPartial: async (_accessor, _info, { memory, ...options }) => (
        assert.equal(memory.held, 0),
        asked.push(options),
        { digest, size, bytesReused: 1 }
      ),
    },
  });
  const substitutable = { manifestMediaType: 'application/vnd.oci.image.manifest.v1+json' };
  await copyBlob(run, { ...blob, layerIndex: 3, platform });
  await copyBlob({ ...run, partial: 'never' }, { ...blob, substitutable });
  const { cache, signal } = run;
  const reuse = { cache, canSubstitute: false, manifestMediaType: undefined, srcRef: repository, signal };
  assert.deepEqual(asked, [
    reuse,
    { cache, layerIndex: 3, platform, places: [{ layerIndex: 3, platform }], reusePieces: true, signal },
    { ...reuse, ...substitutable, canSubstitute: true },
  ]);
});

const distances = [
  { near: undefined, far: 900, pieces: true },
  { near: 80, far: undefined, pieces: true },
  { near: 80, far: 90, pieces: true },
  { near: 0, far: 100, pieces: true },
  { near: 0, far: 101, pieces: false },
  { near: 20, far: 160, pieces: true },
  { near: 20, far: 161, pieces: false },
  { near: 80, far: 5, pieces: true },
];
test('reads no old pieces from a destination that is clearly farther away than the source, unless told to', async () => {
  for (const { near, far, pieces } of distances) {
    const wanted: (boolean | undefined)[] = [];
    const { run } = fakeRun({
      source: { roundTripMs: near },
      destination: {
        ...partialDestination,
        roundTripMs: far,
        putBlobPartial: async (_accessor, _info, { reusePieces }) => {
          wanted.push(reusePieces);
          return { digest, size, bytesReused: 1 };
        },
      },
    });
    await copyBlob(run, blob);
    await copyBlob({ ...run, partial: 'always' }, blob);
    assert.deepEqual(wanted, [pieces, true], `${near} ms to the source, ${far} ms to the destination`);
  }
});
