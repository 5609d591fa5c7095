import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatRange } from '../../../src/http/ranges/byte-ranges.ts';
import type { HttpResponse } from '../../../src/http/send/send.ts';
import { BadPartialRequestError } from '../../../src/contract/errors.ts';
import {
  type Answer,
  askedBytes,
  infoOf,
  multipartAnswer,
  readAll,
  respond,
  sampleBlob,
  singleAnswer,
  wholeAnswer,
} from './range-answers.ts';
import type { ImageSourceChunk } from '../../../src/contract/blob-chunk-accessor.ts';
import { readRanges } from '../../../src/http/ranges/range-reader.ts';
import type { NextAttempt } from '../../../src/retry/attempts.ts';
import { BLOB, ONE, RANGES, readFrom, retries, THREE } from './range-cases.ts';

const [FIRST, SECOND, THIRD] = RANGES;

test('resumes from its offset after the connection drops inside a part', async () => {
  const failure = new Error('socket hang up');
  const answer = multipartAnswer(BLOB, RANGES);
  const arriving = answer.bytes.indexOf(BLOB.subarray(10, 15)) + 2;
  const notes: unknown[] = [];
  const { read, error, requests } = await readFrom(
    [
      respond(answer, { packets: [9], arriving, failure }),
      respond(multipartAnswer(BLOB, [{ start: 12, end: 15 }, THIRD]), { arriving: 0 }),
      respond(multipartAnswer(BLOB, [{ start: 12, end: 15 }, THIRD])),
    ],
    THREE,
    { resume: retries(2), onRequest: (chunks, cut) => notes.push([formatRange(chunks), cut?.cause]) },
  );
  assert.equal(error, undefined);
  assert.deepEqual(read, askedBytes(BLOB, THREE));
  assert.deepEqual(requests, ['bytes=0-4,10-14,90-', 'bytes=12-14,90-', 'bytes=12-14,90-']);
  assert.deepEqual(notes, [
    ['bytes=0-4,10-14,90-', undefined],
    ['bytes=12-14,90-', failure],
    ['bytes=12-14,90-', undefined],
  ]);
});

test('resumes after a clean end that comes too soon, with a whole blob where that is the answer', async () => {
  const { read, error, requests } = await readFrom(
    [respond({ ...wholeAnswer(BLOB), headers: {} }, { arriving: 12 }), respond(wholeAnswer(BLOB), { packets: [8] })],
    THREE,
    { resume: retries(1) },
  );
  assert.equal(error, undefined);
  assert.deepEqual(read, askedBytes(BLOB, THREE));
  assert.deepEqual(requests, ['bytes=0-4,10-14,90-', 'bytes=12-14,90-']);
});

test('does not ask again once all bytes are there', async () => {
  const answer = multipartAnswer(BLOB, RANGES);
  const arriving = answer.bytes.lastIndexOf('\r\n--frontier--');
  const failure = new Error('socket hang up');
  const { read, error, requests } = await readFrom([respond(answer, { arriving, failure })], THREE);
  assert.equal(error, undefined);
  assert.deepEqual(read, askedBytes(BLOB, THREE));
  assert.equal(requests.length, 1);
});

/** Reads a large blob from a server that cuts each answer after so many bytes. */
async function readCut(
  afterBytes: number,
): Promise<{ readonly cuts: number; readonly read: number; readonly error: unknown }> {
  const blob = sampleBlob(1024 * 1024);
  const fetch = async ([chunk]: readonly ImageSourceChunk[]): Promise<HttpResponse> => {
    const answer = singleAnswer(blob, { start: chunk?.offset ?? 0, end: blob.length });
    return respond(answer, { arriving: Math.min(afterBytes, answer.bytes.length) });
  };
  const noted: NextAttempt[] = [];
  const { read, error } = await readAll(
    readRanges(fetch, infoOf(blob), [{ offset: 0 }], { resume: retries(5, noted) }),
  );
  return { cuts: noted.length, read: read.reduce((sum, { length }) => sum + length, 0), error };
}

test('follows a server that cuts every answer, as long as its answers bring the blob forward', async () => {
  for (const afterBytes of [100_000, 20_000]) {
    const { cuts, read, error } = await readCut(afterBytes);
    assert.deepEqual([error, read], [undefined, 1024 * 1024]);
    assert.equal(cuts, Math.ceil((1024 * 1024) / afterBytes) - 1);
  }
});

test('gives up a server that cuts every answer after a thousand bytes', async () => {
  const { cuts, read, error } = await readCut(1000);
  assert.equal((error as { code?: unknown }).code, 'ERR_SHORT_RANGE');
  assert.deepEqual([cuts, read], [5, 6000]);
});

test('gives up after as many cuts as the policy says, and waits longer before each', async () => {
  const cutAfter = (start: number, arriving: number): HttpResponse =>
    respond(singleAnswer(BLOB, { start, end: 15 }), { arriving });
  const noted: NextAttempt[] = [];
  const answers = [cutAfter(10, 1), cutAfter(11, 2), cutAfter(13, 0)];
  const { read, error, requests } = await readFrom(answers, ONE, { resume: retries(2, noted) });
  assert.equal((error as { code?: unknown }).code, 'ERR_SHORT_RANGE');
  assert.deepEqual(read, [BLOB.subarray(10, 13)]);
  assert.deepEqual(requests, ['bytes=10-14', 'bytes=11-14', 'bytes=13-14']);
  assert.deepEqual(
    noted.map(({ delayMs }) => delayMs),
    [500, 1000],
  );
});

test('checks the answer for the rest as it checked the first', async () => {
  const cut = (): HttpResponse => respond(singleAnswer(BLOB, SECOND), { arriving: 2 });
  const wrong = respond(singleAnswer(BLOB, SECOND));
  const otherSize = respond({ ...singleAnswer(BLOB, SECOND), headers: { 'content-range': 'bytes 12-14/99' } });
  for (const second of [wrong, otherSize]) {
    const { read, error } = await readFrom([cut(), second], ONE, { resume: retries(3) });
    assert.equal((error as { code?: unknown }).code, 'ERR_WRONG_RANGE');
    assert.deepEqual(read, [BLOB.subarray(10, 12)]);
    assert.equal(second.body.destroyed, true);
  }
});

const REFUSAL: Answer = { status: 416, headers: {}, bytes: Buffer.alloc(0) };

test('takes a refusal for one of the ranges before the first byte alone', async () => {
  const insideChunk = [respond(singleAnswer(BLOB, SECOND), { arriving: 2 }), respond(REFUSAL)];
  const inside = await readFrom(insideChunk, ONE, { resume: retries(1) });
  assert.equal((inside.error as { code?: unknown }).code, 'ERR_SHORT_RANGE');
  assert.ok((inside.error as Error).cause instanceof BadPartialRequestError);

  const answer = multipartAnswer(BLOB, RANGES);
  const arriving = answer.bytes.indexOf(BLOB.subarray(10, 15));
  const between = await readFrom([respond(answer, { arriving }), respond(REFUSAL)], THREE, { resume: retries(1) });
  assert.equal((between.error as { code?: unknown }).code, 'ERR_SHORT_RANGE');
  assert.deepEqual(between.read, askedBytes(BLOB, THREE).slice(0, 1));
});

test('fails when a multipart lacks parts, after the chunks that came (behaviour 6)', async () => {
  const answer = respond(multipartAnswer(BLOB, [FIRST, SECOND]));
  const { read, error, requests } = await readFrom([answer], THREE, { resume: retries(3) });
  assert.equal((error as { code?: unknown }).code, 'ERR_SHORT_RANGE');
  assert.match((error as Error).message, /2 of 3 ranges/);
  assert.deepEqual(read, askedBytes(BLOB, THREE).slice(0, 2));
  assert.equal(requests.length, 1);
});
