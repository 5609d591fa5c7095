import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { copyBlob } from '../../src/copy/copy-blob.ts';
import { ImgcopyError } from '../../src/errors/imgcopy-error.ts';
import { MemoryBudget } from '../../src/io/memory.ts';
import { BlobAttemptError } from '../../src/contract/errors.ts';
import type { ReusedBlob } from '../../src/contract/image-destination.ts';
import { fakeRun, layerOf, type FakeRun, type FakeRunOptions } from '../support/fakes.ts';
import { randomBytes } from '../support/images.ts';

const MiB = 1024 * 1024;
const bytes = randomBytes('blob', 1000);
const blob = layerOf(bytes);
const { digest } = blob.info;
const size = bytes.length;

interface Asking extends FakeRun {
  /** Answers the question whether the blob is there. */
  readonly answer: (reused: ReusedBlob | Error) => void;
  /** Settles when the question was put. */
  readonly asked: Promise<void>;
}

/** A destination that most likely lacks the blob, and answers when the test lets it. */
function asking(options: FakeRunOptions = {}): Asking {
  const asked = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<ReusedBlob>();
  const destination = {
    expectsMissing: () => true,
    tryReusingBlobWithOptions: async () => {
      asked.resolve();
      return answered.promise;
    },
    ...options.destination,
  };
  const answer = (reused: ReusedBlob | Error): void =>
    reused instanceof Error ? answered.reject(reused) : answered.resolve(reused);
  return { ...fakeRun({ blobs: [bytes], ...options, destination }), answer, asked: asked.promise };
}

const missing: ReusedBlob = { reused: false };
const present: ReusedBlob = { reused: true, digest, size };

test('opens the blob while the destination is still being asked, where that expects to lack it', async () => {
  const { run, calls, streams, stored, answer, asked } = asking();
  const copy = copyBlob(run, blob);
  await asked;
  await new Promise(setImmediate);
  assert.deepEqual(calls.toSorted(), ['getBlob', 'tryReusingBlobWithOptions']);
  assert.equal(streams[0]?.readableEnded, true, 'a small blob is read to its end');
  answer(missing);
  assert.equal((await copy).bytesFetched, size);
  assert.deepEqual(calls.toSorted(), ['getBlob', 'putBlobWithOptions', 'tryReusingBlobWithOptions']);
  assert.deepEqual(stored.get(digest), bytes);
});

test('hands a small blob on as bytes, without a stream, where both sides can', async () => {
  const [half, rest] = [bytes.subarray(0, 500), bytes.subarray(500)];
  const put: Buffer[] = [];
  let sent = [half, rest];
  const { run, calls, events, answer } = asking({
    source: {
      getBlob: async () => ({
        get stream(): Readable {
          throw new Error('no stream is wanted');
        },
        chunks: Readable.from(sent),
        size,
      }),
    },
    destination: {
      putBlobBytes: async (whole) => {
        put.push(whole);
        return { digest, size: whole.length };
      },
    },
  });
  answer(missing);
  const copied = await copyBlob(run, blob);
  assert.deepEqual([put, copied.outcome, copied.bytesFetched], [[bytes], 'copied', size]);
  assert.deepEqual(calls.toSorted(), ['getBlob', 'putBlobBytes', 'tryReusingBlobWithOptions']);
  assert.deepEqual(
    events.filter(({ type }) => type === 'blob-progress'),
    [{ type: 'blob-progress', digest, bytes: size }],
  );
  sent = [bytes, half];
  await copyBlob(run, blob);
  assert.deepEqual(put[1], Buffer.concat([bytes, half]), 'what is too long is told apart by who verifies it');
});

test('waits for the answer where the destination expects to have the blob', async () => {
  const { run, calls, answer, asked } = asking({ destination: { expectsMissing: () => false } });
  const copy = copyBlob(run, blob);
  await asked;
  await new Promise(setImmediate);
  assert.deepEqual(calls, ['tryReusingBlobWithOptions']);
  answer(missing);
  await copy;
});

const chunked = { 'io.github.containers.zstd-chunked.manifest-position': '10:10:10:1' };
const ranged = [
  { what: 'a blob of 16 MiB', info: { size: 16 * MiB }, partial: 'auto', opened: 0 },
  { what: 'one a byte smaller', info: { size: 16 * MiB - 1 }, partial: 'auto', opened: 1 },
  { what: 'a layer with a table of contents', info: { size: MiB, annotations: chunked }, partial: 'auto', opened: 0 },
  { what: 'such a layer, taken whole', info: { size: MiB, annotations: chunked }, partial: 'never', opened: 1 },
] as const;
for (const { what, info, partial, opened } of ranged) {
  test(`${opened === 1 ? 'opens' : 'does not open'} ${what} before the answer`, async () => {
    const { run, calls, answer, asked } = asking({ run: { partial, memory: new MemoryBudget(32 * MiB) } });
    const copy = copyBlob(run, layerOf(bytes, { info }));
    await asked;
    await new Promise(setImmediate);
    assert.equal(calls.filter((call) => call === 'getBlob').length, opened);
    answer(present);
    await copy;
  });
}

test('drops a body that is not needed, and fetches no more of it', async () => {
  for (const claimed of [size, 5 * MiB]) {
    let signal: AbortSignal | undefined;
    const endless = new Readable({ read: () => undefined });
    const getBlob: FakeRun['run']['source']['getBlob'] = async (_info, options) => {
      signal = options?.signal;
      signal?.addEventListener('abort', () => endless.destroy(signal?.reason as Error));
      return { stream: endless, size: claimed };
    };
    const memory = new MemoryBudget(MiB);
    const { run, answer, asked } = asking({ source: { getBlob }, run: { memory } });
    const copy = copyBlob(run, layerOf(bytes, { info: { size: claimed } }));
    await asked;
    answer(present);
    assert.equal((await copy).outcome, 'reused');
    assert.equal(endless.destroyed, true);
    assert.equal(signal?.aborted, true);
    assert.equal(memory.used, 0, 'the memory is given back');
  }
});

test('holds memory for a small blob until it is stored, and none for a larger one', async () => {
  const budget = 8 * MiB;
  for (const { claimed, held } of [
    { claimed: size, held: size },
    { claimed: 4 * MiB + 1, held: 0 },
  ]) {
    const memory = new MemoryBudget(budget);
    const used: number[] = [];
    const { run, answer } = asking({
      run: { memory },
      destination: {
        putBlobWithOptions: async (stream) => {
          await stream.toArray();
          used.push(memory.used);
          return { digest, size };
        },
      },
    });
    answer(missing);
    await copyBlob(run, layerOf(bytes, { info: { size: claimed } }));
    assert.deepEqual(used, [held], `${claimed} bytes`);
    assert.equal(memory.used, 0);
  }
});

test('asks the destination although memory has to be waited for, and needs none for a blob that is there', async () => {
  const memory = new MemoryBudget(size);
  const others = await memory.openAccount().take(size);
  const { run, calls, answer, asked } = asking({ run: { memory } });
  const copy = copyBlob(run, blob);
  await asked;
  answer(present);
  assert.equal((await copy).outcome, 'reused');
  assert.deepEqual(calls, ['tryReusingBlobWithOptions']);
  others?.[Symbol.dispose]();
  assert.equal(memory.used, 0, 'who has stopped waiting takes nothing');
});

test('gives memory back when the blob cannot be fetched, asked for or stored', async () => {
  const failure = new ImgcopyError('it fails', { code: 'ERR_TEST' });
  const failing = async (): Promise<never> => Promise.reject(failure);
  const places: readonly FakeRunOptions[] = [
    { source: { getBlob: failing } },
    { destination: { tryReusingBlobWithOptions: failing } },
    { destination: { putBlobWithOptions: failing } },
  ];
  for (const place of places) {
    const memory = new MemoryBudget(size);
    const { run, answer } = asking({ ...place, run: { memory } });
    answer(missing);
    await assert.rejects(copyBlob(run, blob), { cause: failure });
    assert.equal(memory.used, 0);
  }
});

test('does not mind that a blob cannot be fetched which is not needed', async () => {
  const getBlob = async () => Promise.reject(new ImgcopyError('GET: 404', { code: 'ERR_NOT_FOUND' }));
  const { run, answer } = asking({ source: { getBlob } });
  answer(present);
  assert.equal((await copyBlob(run, blob)).outcome, 'reused');
});

test('opens a new stream for the attempt after the one with the early one', async () => {
  const attempts: Buffer[] = [];
  const { run, calls, answer } = asking({
    destination: {
      expectsMissing: () => true,
      tryReusingBlobWithOptions: async () => missing,
      putBlobWithOptions: async (stream) => {
        attempts.push(Buffer.concat((await stream.toArray()) as Buffer[]));
        if (attempts.length === 1) throw new BlobAttemptError(new Error('the connection broke'));
        return { digest, size };
      },
    },
  });
  answer(missing);
  await copyBlob(run, blob);
  assert.deepEqual(attempts, [bytes, bytes]);
  assert.equal(calls.filter((call) => call === 'getBlob').length, 2);
});

test('reads no more of a body that never ends than shows that it is too long', async () => {
  let packets = 0;
  const endless = Readable.from(
    (function* () {
      for (;;) {
        packets += 1;
        yield Buffer.alloc(100);
      }
    })(),
    { objectMode: false },
  );
  const { run, stored, answer } = asking({ source: { getBlob: async () => ({ stream: endless, size: undefined }) } });
  answer(missing);
  await copyBlob(run, blob);
  assert.equal(endless.destroyed, true);
  assert.ok(packets < 2 * (size / 100), `${packets} packets`);
  assert.ok((stored.get(digest)?.length ?? 0) > size, 'who verifies it will see');
});
