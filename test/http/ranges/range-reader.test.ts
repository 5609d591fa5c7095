import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { MediaType } from '../../../src/manifest/media-types.ts';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { formatRange } from '../../../src/http/ranges/byte-ranges.ts';
import { readRanges } from '../../../src/http/ranges/range-reader.ts';
import type { HttpResponse } from '../../../src/http/send/send.ts';
import type { ImageSourceChunk } from '../../../src/contract/blob-chunk-accessor.ts';
import { type Answer, askedBytes, multipartAnswer, respond, singleAnswer, wholeAnswer } from './range-answers.ts';
import { BLOB, INFO, ONE, RANGES, readFrom, THREE, retries } from './range-cases.ts';

const [FIRST, SECOND, THIRD] = RANGES;

async function assertReads(answer: Answer, chunks: readonly ImageSourceChunk[]): Promise<void> {
  for (const packets of [[1], [7, 1, 30], [1000]]) {
    const response = respond(answer, { packets });
    const { read, error, requests } = await readFrom([response], chunks);
    assert.equal(error, undefined);
    assert.deepEqual(read, askedBytes(BLOB, chunks));
    assert.deepEqual(requests, [formatRange(chunks)]);
    assert.equal(response.body.destroyed, true);
  }
}

const INVALID_CHUNKS = {
  'no chunks': [],
  'an empty chunk': [{ offset: 0, length: 0 }],
  'unsorted chunks': [...ONE, { offset: 0, length: 5 }],
  'overlapping chunks': [...ONE, { offset: 14, length: 5 }],
  'a chunk after one to the end': [{ offset: 0 }, ...ONE],
  'a chunk beyond the end': [{ offset: 99, length: 2 }],
} as const;

for (const [what, chunks] of Object.entries(INVALID_CHUNKS)) {
  test(`refuses ${what} before any request (behaviour 2)`, async () => {
    const { error, requests } = await readFrom([], chunks);
    assert.equal((error as { code?: unknown }).code, 'ERR_INVALID_CHUNKS');
    assert.deepEqual(requests, []);
  });
}

test('refuses a blob with foreign URLs before any request (behaviour 3)', async () => {
  const info = { ...INFO, mediaType: MediaType.dockerForeignLayer, urls: ['https://foreign.test/layer'] };
  const readers = readRanges(() => assert.fail('a request was made'), info, ONE);
  await assert.rejects(readers.next(), { code: 'ERR_FOREIGN_BLOB' });
});

test('slices a whole blob (behaviour 4)', async () => {
  await assertReads(wholeAnswer(BLOB), THREE);
  await assertReads(wholeAnswer(BLOB), ONE);
  await assertReads({ ...wholeAnswer(BLOB), headers: {} }, [{ offset: 0 }]);
});

test('does not read a whole blob beyond the last chunk', async () => {
  const response = respond(
    { ...wholeAnswer(BLOB), headers: {} },
    { packets: [20], arriving: 20, failure: new Error('read on') },
  );
  const { read, error } = await readFrom([response], ONE);
  assert.equal(error, undefined);
  assert.deepEqual(read, askedBytes(BLOB, ONE));
  assert.equal(response.body.destroyed, true);
});

test('reads a single part for one chunk (behaviour 5)', async () => {
  await assertReads(singleAnswer(BLOB, SECOND), ONE);
  await assertReads(singleAnswer(BLOB, { start: 90, end: 100 }), [{ offset: 90 }]);
  await assertReads({ ...singleAnswer(BLOB, SECOND), headers: { 'content-range': 'bytes 10-14/*' } }, ONE);
});

test('reads a body to its end, so that its connection can be used again', async () => {
  for (const answer of [singleAnswer(BLOB, SECOND), multipartAnswer(BLOB, [SECOND])]) {
    const response = respond(answer, { packets: [5] });
    const ended = once(response.body, 'end');
    assert.equal((await readFrom([response], ONE)).error, undefined);
    await ended;
  }
});

test('reads one part for each chunk (behaviour 5)', async () => {
  await assertReads(multipartAnswer(BLOB, RANGES), THREE);
  await assertReads(multipartAnswer(BLOB, RANGES, { total: '*' }), THREE);
  await assertReads(multipartAnswer(BLOB, [SECOND]), ONE);
});

test('accepts an unquoted colon in the boundary (behaviour 5)', async () => {
  await assertReads(multipartAnswer(BLOB, RANGES, { boundary: 'CloudFront:ABC' }), THREE);
});

test('maps coalesced and reordered parts to their chunks (behaviour 7)', async () => {
  await assertReads(multipartAnswer(BLOB, [{ start: 0, end: 15 }, THIRD]), THREE);
  await assertReads(multipartAnswer(BLOB, [{ start: 0, end: 100 }]), THREE);
  await assertReads(singleAnswer(BLOB, { start: 0, end: 100 }), THREE);
  await assertReads(multipartAnswer(BLOB, [THIRD, FIRST, SECOND]), THREE);
  await assertReads(multipartAnswer(BLOB, [SECOND, THIRD, FIRST]), THREE);
  await assertReads(multipartAnswer(BLOB, [{ start: 10, end: 100 }, FIRST]), THREE);
});

test('ignores a Content-Encoding: some servers name that of the layer itself (behaviour 60)', async () => {
  for (const answer of [singleAnswer(BLOB, SECOND), wholeAnswer(BLOB)])
    await assertReads({ ...answer, headers: { ...answer.headers, 'content-encoding': 'gzip' } }, ONE);
});

test('passes on what the request throws (behaviour 9)', async () => {
  const failure = new Error('404 BLOB_UNKNOWN');
  const { error, read } = await readFrom([failure], THREE);
  assert.equal(error, failure);
  assert.deepEqual(read, []);
});

test('delivers what arrived before a connection error, then the error, which stays (behaviour 12)', async () => {
  const failure = Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
  for (const packets of [[1], [3, 2], [1000]]) {
    const response = respond(singleAnswer(BLOB, THIRD), { packets, arriving: 7, failure });
    const readers = readRanges(async () => response, INFO, [{ offset: 90 }]);
    const { value: reader } = await readers.next();
    assert.ok(reader instanceof Readable);
    const received: Buffer[] = [];
    await assert.rejects(
      async () => {
        for await (const bytes of reader as AsyncIterable<Buffer>) {
          received.push(bytes);
          await nextTurn();
        }
      },
      { code: 'ERR_SHORT_RANGE', cause: failure },
    );
    assert.deepEqual(Buffer.concat(received), BLOB.subarray(90, 97));
    await assert.rejects(readers.next(), { code: 'ERR_SHORT_RANGE', cause: failure });
  }
});

test('does not deliver a reader before the one before it was read (behaviour 11)', async () => {
  const readers = readRanges(async () => respond(multipartAnswer(BLOB, RANGES)), INFO, THREE);
  const { value: first } = await readers.next();
  assert.ok(first instanceof Readable);
  let isDelivered = false;
  const next = readers.next().then((step) => {
    isDelivered = true;
    return step;
  });
  await nextTurn();
  assert.equal(isDelivered, false);
  first.resume();
  assert.equal((await next).done, false);
  await readers.return();
});

test('aborts the request when the loop is left (behaviour 11)', async () => {
  const response = respond(multipartAnswer(BLOB, RANGES), { packets: [1] });
  let signal: AbortSignal | undefined;
  const fetch = async (_chunks: readonly ImageSourceChunk[], given: AbortSignal): Promise<HttpResponse> => {
    signal = given;
    return response;
  };
  for await (const reader of readRanges(fetch, INFO, THREE)) {
    reader.resume();
    break;
  }
  assert.equal(response.body.destroyed, true);
  assert.equal(signal?.aborted, true);
});

test('aborts the request when the loop is left between two readers', async () => {
  const { bytes: multipart, ...answer } = multipartAnswer(BLOB, RANGES);
  const body = new Readable({ read: () => undefined });
  body.push(multipart.subarray(0, 200));
  const response = { ...respond({ ...answer, bytes: multipart }), body };
  for await (const reader of readRanges(async () => response, INFO, THREE)) {
    for await (const bytes of reader as AsyncIterable<Buffer>) assert.ok(bytes.length > 0);
    break;
  }
  assert.equal(body.destroyed, true);
});

test('aborts the request when a reader is destroyed, and gives no further reader', async () => {
  const response = respond(multipartAnswer(BLOB, RANGES), { packets: [1] });
  const readers = readRanges(async () => response, INFO, THREE);
  const { value: reader } = await readers.next();
  assert.ok(reader instanceof Readable);
  reader.destroy();
  assert.equal(response.body.destroyed, true);
  await assert.rejects(readers.next(), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
});

test('stops waiting when the signal aborts, for an answer and for its bytes', async () => {
  const reason = new Error('enough');
  for (const isAnswered of [false, true]) {
    const controller = new AbortController();
    const body = new Readable({ read: () => controller.abort(reason) });
    const fetch = (_chunks: readonly ImageSourceChunk[], signal: AbortSignal): Promise<HttpResponse> => {
      if (isAnswered) return Promise.resolve({ ...respond(singleAnswer(BLOB, SECOND)), body });
      const aborted = once(signal, 'abort').then(() => Promise.reject(signal.reason as Error));
      controller.abort(reason);
      return aborted;
    };
    const { signal } = controller;
    const readers = readRanges(fetch, INFO, ONE, { signal, resume: retries(5) });
    await assert.rejects(readers.next(), reason);
    assert.equal(body.destroyed, isAnswered);
  }
});

test('stops waiting for a reader that nobody reads when the signal aborts', async () => {
  const controller = new AbortController();
  const response = respond(multipartAnswer(BLOB, RANGES), { packets: [1] });
  const readers = readRanges(async () => response, INFO, THREE, { signal: controller.signal });
  await readers.next();
  const next = readers.next();
  controller.abort();
  await assert.rejects(next, { name: 'AbortError' });
  assert.equal(response.body.destroyed, true);
});

test('makes no request once the signal is aborted', async () => {
  const { error, requests } = await readFrom([], ONE, { signal: AbortSignal.abort(new Error('enough')) });
  assert.equal((error as Error).message, 'enough');
  assert.deepEqual(requests, []);
});
