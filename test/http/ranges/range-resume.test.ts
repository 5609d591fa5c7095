import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatRange } from '../../../src/http/ranges/byte-ranges.ts';
import type { HttpResponse } from '../../../src/http/send/send.ts';
import { BadPartialRequestError } from '../../../src/contract/errors.ts';
import { type Answer, askedBytes, multipartAnswer, respond, singleAnswer, wholeAnswer } from './range-answers.ts';
import { BLOB, ONE, RANGES, readFrom, THREE } from './range-cases.ts';

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
    { resume: { attempts: 2 }, onRequest: (chunks, cut) => notes.push([formatRange(chunks), cut?.cause]) },
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
    { resume: { attempts: 1 } },
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

test('gives up after as many cuts in a row as the policy says, counted anew when bytes arrive', async () => {
  const cutAfter = (start: number, arriving: number): HttpResponse =>
    respond(singleAnswer(BLOB, { start, end: 15 }), { arriving });
  const answers = [cutAfter(10, 1), cutAfter(11, 0), cutAfter(11, 2), cutAfter(13, 0), cutAfter(13, 0)];
  const waits: number[] = [];
  const wait = async (failures: number): Promise<void> => void waits.push(failures);
  const { read, error, requests } = await readFrom(answers, ONE, { resume: { attempts: 2, wait } });
  assert.equal((error as { code?: unknown }).code, 'ERR_SHORT_RANGE');
  assert.deepEqual(read, [BLOB.subarray(10, 13)]);
  assert.deepEqual(requests, ['bytes=10-14', 'bytes=11-14', 'bytes=11-14', 'bytes=13-14', 'bytes=13-14']);
  assert.deepEqual(waits, [1, 2, 1, 2]);
});

test('checks the answer for the rest as it checked the first', async () => {
  const cut = (): HttpResponse => respond(singleAnswer(BLOB, SECOND), { arriving: 2 });
  const wrong = respond(singleAnswer(BLOB, SECOND));
  const otherSize = respond({ ...singleAnswer(BLOB, SECOND), headers: { 'content-range': 'bytes 12-14/99' } });
  for (const second of [wrong, otherSize]) {
    const { read, error } = await readFrom([cut(), second], ONE, { resume: { attempts: 3 } });
    assert.equal((error as { code?: unknown }).code, 'ERR_WRONG_RANGE');
    assert.deepEqual(read, [BLOB.subarray(10, 12)]);
    assert.equal(second.body.destroyed, true);
  }
});

const REFUSAL: Answer = { status: 416, headers: {}, bytes: Buffer.alloc(0) };

test('takes a refusal for one of the ranges before the first byte alone', async () => {
  const insideChunk = [respond(singleAnswer(BLOB, SECOND), { arriving: 2 }), respond(REFUSAL)];
  const inside = await readFrom(insideChunk, ONE, { resume: { attempts: 1 } });
  assert.equal((inside.error as { code?: unknown }).code, 'ERR_SHORT_RANGE');
  assert.ok((inside.error as Error).cause instanceof BadPartialRequestError);

  const answer = multipartAnswer(BLOB, RANGES);
  const arriving = answer.bytes.indexOf(BLOB.subarray(10, 15));
  const between = await readFrom([respond(answer, { arriving }), respond(REFUSAL)], THREE, { resume: { attempts: 1 } });
  assert.equal((between.error as { code?: unknown }).code, 'ERR_SHORT_RANGE');
  assert.deepEqual(between.read, askedBytes(BLOB, THREE).slice(0, 1));
});

test('fails when a multipart lacks parts, after the chunks that came (behaviour 6)', async () => {
  const answer = respond(multipartAnswer(BLOB, [FIRST, SECOND]));
  const { read, error, requests } = await readFrom([answer], THREE, { resume: { attempts: 3 } });
  assert.equal((error as { code?: unknown }).code, 'ERR_SHORT_RANGE');
  assert.match((error as Error).message, /2 of 3 ranges/);
  assert.deepEqual(read, askedBytes(BLOB, THREE).slice(0, 2));
  assert.equal(requests.length, 1);
});
