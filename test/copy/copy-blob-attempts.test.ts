import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { copyBlob } from '../../src/copy/copy-blob.ts';
import { ContentMismatchError, digestOf } from '../../src/digest/digest.ts';
import { ImgcopyError, isAbort } from '../../src/errors/imgcopy-error.ts';
import { DEFAULT_RETRY_POLICY } from '../../src/retry/attempts.ts';
import { Semaphore } from '../../src/io/semaphore.ts';
import { BlobAttemptError, PartialBlobUnavailableError } from '../../src/contract/errors.ts';
import type { ImageDestination } from '../../src/contract/image-destination.ts';
import { fakeRun, layerOf } from '../support/fakes.ts';
import { randomBytes } from '../support/images.ts';

const bytes = randomBytes('blob', 1000);
const blob = layerOf(bytes);
const { digest } = blob.info;
const size = bytes.length;
const lost = new ImgcopyError('PATCH: the session is gone', { code: 'ERR_NOT_FOUND' });

/** A destination that reads some bytes of each stream and loses the attempt, so many times. */
function losing(
  times: number,
  failure: Error = new BlobAttemptError(lost),
): Pick<ImageDestination, 'putBlobWithOptions'> {
  let attempts = 0;
  return {
    putBlobWithOptions: async (stream) => {
      attempts += 1;
      if (attempts > times) {
        await stream.toArray();
        return { digest, size };
      }
      await once(stream, 'readable');
      stream.read(1);
      throw failure;
    },
  };
}

test('streams a blob again, with a new stream, when the attempt to store it was lost', async () => {
  const { run, calls, streams, events, delays } = fakeRun({ blobs: [bytes], destination: losing(2) });
  const copied = await copyBlob(run, blob);
  assert.equal(copied.outcome, 'copied');
  const attempt = ['getBlob', 'putBlobWithOptions'];
  assert.deepEqual(calls, ['tryReusingBlobWithOptions', ...attempt, ...attempt, ...attempt]);
  assert.equal(new Set(streams).size, 3);
  assert.ok(streams.every((stream) => stream.destroyed));
  assert.deepEqual(delays, [500, 1000]);
  const retries = events.filter((event) => event.type === 'retry');
  const retry = { type: 'retry', side: 'destination', what: `layer ${digest}`, why: lost.message } as const;
  assert.deepEqual(retries, [
    { ...retry, delayMs: 500 },
    { ...retry, delayMs: 1000 },
  ]);
});

test('shows an attempt that starts again from zero, and counts all that was fetched', async () => {
  const { run, events } = fakeRun({ blobs: [bytes], destination: losing(1) });
  const copied = await copyBlob(run, blob);
  const shown = events.flatMap((event) => (event.type === 'blob-progress' ? [event.bytes] : []));
  const restart = shown.indexOf(0);
  assert.ok(restart > 0, shown.join(', '));
  assert.deepEqual(shown.slice(restart), [0, size / 2, size]);
  assert.equal(copied.bytesFetched, size + Math.max(...shown.slice(0, restart)));
});

test('gives up with the cause when the retries are spent', async () => {
  const { run, calls, delays } = fakeRun({ blobs: [bytes], destination: losing(Infinity) });
  const policy = { ...run.policy, retries: 2 };
  await assert.rejects(copyBlob({ ...run, policy }, blob), (error: ImgcopyError) => {
    return error.code === 'ERR_NOT_FOUND' && error.cause === lost;
  });
  assert.equal(calls.filter((call) => call === 'getBlob').length, 3);
  assert.equal(delays.length, 2);
});

test('fetches wrong bytes once more, past any cache, and gives up the second time or without retries', async () => {
  const mismatch = new ContentMismatchError('content does not match its digest', 'sha256:a', 'sha256:b');
  const mended = fakeRun({ blobs: [bytes], destination: losing(1, mismatch) });
  assert.equal((await copyBlob(mended.run, blob)).outcome, 'copied');
  const [retry] = mended.events.filter((event) => event.type === 'retry');
  assert.deepEqual([retry?.side, retry?.why], ['source', mismatch.message]);
  for (const [retries, fetches] of [
    [5, 2],
    [0, 1],
  ] as const) {
    const { run, calls } = fakeRun({ blobs: [bytes], destination: losing(Infinity, mismatch) });
    const policy = { ...run.policy, retries };
    await assert.rejects(copyBlob({ ...run, policy }, blob), (error: Error) => error.cause === mismatch);
    assert.equal(calls.filter((call) => call === 'getBlob').length, fetches);
  }
});

test('does not try again after any other failure', async () => {
  for (const failure of [new PartialBlobUnavailableError('out of place'), new Error('a mistake')]) {
    const { run, calls, streams } = fakeRun({ blobs: [bytes], destination: losing(1, failure) });
    await assert.rejects(copyBlob(run, blob), (error: Error) => error.cause === failure);
    assert.deepEqual(calls, ['tryReusingBlobWithOptions', 'getBlob', 'putBlobWithOptions']);
    assert.deepEqual(
      streams.map((stream) => stream.destroyed),
      [true],
    );
  }
});

test('lets go of a stream that the destination refused without a look', async () => {
  const failure = new ImgcopyError('POST: 403', { code: 'ERR_DENIED', kind: 'denied' });
  const { run, streams } = fakeRun({
    blobs: [bytes],
    destination: { putBlobWithOptions: async () => Promise.reject(failure) },
  });
  await assert.rejects(copyBlob(run, blob), { code: 'ERR_DENIED', kind: 'denied' });
  assert.equal(streams[0]?.destroyed, true);
});

test('fails with what the source has to say of a stream that breaks', async () => {
  const broken = new ImgcopyError('blob ends after 10 of 1000 bytes', { code: 'ERR_BODY_CUT', side: 'source' });
  const getBlob = async () => ({
    stream: Readable.from(
      (function* () {
        yield bytes.subarray(0, 10);
        throw broken;
      })(),
      { objectMode: false },
    ),
    size,
  });
  const { run, stored } = fakeRun({ source: { getBlob } });
  await assert.rejects(copyBlob(run, blob), { code: 'ERR_BODY_CUT', side: 'source', cause: broken });
  assert.equal(stored.size, 0);
});

test('stops waiting for the next attempt when the copy is aborted, and says so as an abort', async () => {
  const controller = new AbortController();
  const { run, calls, events } = fakeRun({ blobs: [bytes], destination: losing(Infinity) });
  const emit: typeof run.emit = (event) => {
    events.push(event);
    if (event.type === 'retry') controller.abort();
  };
  const policy = { ...DEFAULT_RETRY_POLICY, delayMs: 60_000 };
  await assert.rejects(copyBlob({ ...run, policy, emit, signal: controller.signal }, blob), (error: Error) =>
    isAbort(error),
  );
  assert.equal(calls.filter((call) => call === 'getBlob').length, 1);
});

test('gives its place in the pool back, whether it succeeds or fails', async () => {
  const pool = new Semaphore(1);
  const { run } = fakeRun({ blobs: [bytes], destination: losing(1, new Error('a mistake')), run: { pool } });
  await assert.rejects(copyBlob(run, blob));
  await copyBlob(run, blob);
  assert.ok(pool.tryAcquire(1));
});

test('counts a blob under 1 MiB a quarter, and starts larger ones first', async () => {
  const MiB = 1024 * 1024;
  const started: number[] = [];
  const first = Promise.withResolvers<void>();
  const tryReusingBlobWithOptions: ImageDestination['tryReusingBlobWithOptions'] = async (info) => {
    started.push(info.size);
    await first.promise;
    return { reused: true, digest: info.digest, size: info.size };
  };
  const { run } = fakeRun({ destination: { tryReusingBlobWithOptions }, run: { pool: new Semaphore(1) } });
  const sizes = [10, MiB - 1, 20, 30, 40, MiB, 50, 5 * MiB];
  const copies = sizes.map((claimed, index) =>
    copyBlob(run, layerOf(randomBytes(index, 1), { info: { size: claimed } })),
  );
  await new Promise(setImmediate);
  assert.deepEqual(started, [10, MiB - 1, 20, 30]);
  first.resolve();
  await Promise.all(copies);
  assert.deepEqual(started.slice(4), [5 * MiB, MiB, 50, 40]);
});

test('waits and narrows where the system has no more files to open, and begins the blob again', async () => {
  const blobs = Array.from({ length: 40 }, (_, index) => randomBytes(`blob ${index}`, 1000));
  const limit = 6;
  let open = 0;
  let peak = 0;
  const { run, stored, events } = fakeRun({
    blobs,
    destination: {
      tryReusingBlobWithOptions: async () => {
        open += 1;
        try {
          await new Promise(setImmediate);
          if (open > limit) throw Object.assign(new Error('open'), { cause: systemError('EMFILE') });
          peak = Math.max(peak, open);
          return { reused: false };
        } finally {
          open -= 1;
        }
      },
    },
  });
  await Promise.all(blobs.map(async (one) => await copyBlob(run, layerOf(one))));
  for (const one of blobs) assert.ok(stored.get(digestOf(one))?.equals(one));
  assert.equal(events.filter(({ type }) => type === 'blob-done').length, blobs.length);
  assert.ok(run.pool.capacity <= limit / 4 && run.pool.capacity > 0.25, `${run.pool.capacity}`);
});

test('fails where not even one blob alone can open its files', async () => {
  const { run } = fakeRun({
    destination: { tryReusingBlobWithOptions: async () => Promise.reject(systemError('ENFILE')) },
  });
  await assert.rejects(copyBlob(run, layerOf(randomBytes('blob', 10))), { code: 'ENFILE' });
});

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: too many open files`), { code });
}
