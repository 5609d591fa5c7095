import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answeredBytes } from '../../../src/http/ranges/range-answer.ts';
import type { ImageSourceChunk } from '../../../src/contract/blob-chunk-accessor.ts';
import { BadPartialRequestError } from '../../../src/contract/errors.ts';
import {
  type Answer,
  askedBytes,
  multipartAnswer,
  respond,
  sampleBlob,
  singleAnswer,
  wholeAnswer,
} from './range-answers.ts';
import { BLOB, ONE, RANGES, readFrom, THREE } from './range-cases.ts';

const [FIRST, SECOND, THIRD] = RANGES;

const WRONG: Readonly<Record<string, readonly [Answer, readonly ImageSourceChunk[], string]>> = {
  'a part that was not asked for': [
    multipartAnswer(BLOB, [FIRST, { start: 20, end: 25 }, THIRD]),
    THREE,
    'ERR_WRONG_RANGE',
  ],
  'a part that begins too early': [
    multipartAnswer(BLOB, [FIRST, { start: 9, end: 15 }, THIRD]),
    THREE,
    'ERR_WRONG_RANGE',
  ],
  'a part that ends too early': [
    multipartAnswer(BLOB, [FIRST, { start: 10, end: 14 }, THIRD]),
    THREE,
    'ERR_WRONG_RANGE',
  ],
  'a part that comes twice': [multipartAnswer(BLOB, [FIRST, SECOND, SECOND, THIRD]), THREE, 'ERR_WRONG_RANGE'],
  'a part too many (behaviour 6)': [
    multipartAnswer(BLOB, [...RANGES, { start: 50, end: 51 }]),
    THREE,
    'ERR_WRONG_RANGE',
  ],
  'a part that overlaps an earlier one': [
    multipartAnswer(BLOB, [THIRD, { start: 10, end: 100 }, FIRST]),
    THREE,
    'ERR_WRONG_RANGE',
  ],
  'parts of a blob of another size': [multipartAnswer(BLOB, RANGES, { total: 101 }), THREE, 'ERR_WRONG_RANGE'],
  'a part with a wrong Content-Range': [
    multipartAnswer(BLOB, RANGES, { shift: 1, total: '*' }),
    THREE,
    'ERR_WRONG_RANGE',
  ],
  'a multipart without boundary (behaviour 6)': [
    multipartAnswer(BLOB, RANGES, { contentType: 'multipart/byteranges' }),
    THREE,
    'ERR_BAD_MULTIPART',
  ],
  'a multipart with another boundary than announced': [
    multipartAnswer(BLOB, RANGES, { contentType: 'multipart/byteranges; boundary=other' }),
    THREE,
    'ERR_SHORT_RANGE',
  ],
  'a single part of another range': [singleAnswer(BLOB, { start: 11, end: 16 }), ONE, 'ERR_WRONG_RANGE'],
  'a single part that is shorter than asked (behaviour 8)': [
    singleAnswer(BLOB, { start: 10, end: 14 }),
    ONE,
    'ERR_WRONG_RANGE',
  ],
  'a single part that is longer than asked': [singleAnswer(BLOB, { start: 10, end: 16 }), ONE, 'ERR_WRONG_RANGE'],
  'a single part without Content-Range': [{ ...singleAnswer(BLOB, SECOND), headers: {} }, ONE, 'ERR_WRONG_RANGE'],
  'a single part of a blob of another size': [
    { ...singleAnswer(BLOB, SECOND), headers: { 'content-range': 'bytes 10-14/101' } },
    ONE,
    'ERR_WRONG_RANGE',
  ],
  'a single part whose Content-Length is not that of its range': [
    { ...singleAnswer(BLOB, SECOND), headers: { 'content-range': 'bytes 10-14/100', 'content-length': '4' } },
    ONE,
    'ERR_WRONG_RANGE',
  ],
  'a single part with more bytes than its range': [
    { ...singleAnswer(BLOB, SECOND), bytes: BLOB.subarray(10, 16) },
    ONE,
    'ERR_WRONG_RANGE',
  ],
  'a single part with fewer bytes than its range (behaviour 8)': [
    { ...singleAnswer(BLOB, SECOND), bytes: BLOB.subarray(10, 14) },
    ONE,
    'ERR_SHORT_RANGE',
  ],
  'a whole blob of another size by its Content-Length': [wholeAnswer(sampleBlob(101)), ONE, 'ERR_WRONG_RANGE'],
  'a whole blob that ends too early (behaviour 8)': [
    { status: 200, headers: {}, bytes: BLOB.subarray(0, 99) },
    THREE,
    'ERR_SHORT_RANGE',
  ],
  'a whole blob that is too long': [{ status: 200, headers: {}, bytes: sampleBlob(101) }, THREE, 'ERR_WRONG_RANGE'],
  'an answer without content': [{ status: 204, headers: {}, bytes: Buffer.alloc(0) }, ONE, 'ERR_UNEXPECTED_STATUS'],
};

for (const [what, [answer, chunks, code]] of Object.entries(WRONG)) {
  test(`refuses ${what}`, async () => {
    for (const packets of [[1], [1000]]) {
      const response = respond(answer, { packets });
      const { read, error } = await readFrom([response], chunks);
      assert.equal((error as { code?: unknown } | undefined)?.code, code, String(error));
      const expected = askedBytes(BLOB, chunks);
      for (const [index, content] of read.entries()) {
        assert.deepEqual(content, expected[index]?.subarray(0, content.length));
      }
      assert.equal(response.body.destroyed, true);
    }
  });
}

const REFUSALS: Readonly<Record<string, readonly [Answer, readonly ImageSourceChunk[], number, string]>> = {
  '400': [{ status: 400, headers: {}, bytes: Buffer.from('no') }, THREE, 400, 'Bad Request'],
  '416': [{ status: 416, headers: {}, bytes: Buffer.from('no') }, ONE, 416, 'Range Not Satisfiable'],
  '501': [{ status: 501, headers: {}, bytes: Buffer.from('no') }, THREE, 501, 'Not Implemented'],
  'one part for many ranges': [singleAnswer(BLOB, FIRST), THREE, 206, 'one part for 3 ranges'],
  'a multipart without parts': [multipartAnswer(BLOB, []), THREE, 206, '0 of 3 ranges'],
  'a multipart without the first part': [multipartAnswer(BLOB, [SECOND, THIRD]), THREE, 206, '2 of 3 ranges'],
};

for (const [what, [answer, chunks, status, text]] of Object.entries(REFUSALS)) {
  test(`takes ${what} for a refusal of the ranges, from the first step (behaviours 9 and 10)`, async () => {
    const response = respond(answer);
    const { read, error } = await readFrom([response], chunks);
    assert.ok(error instanceof BadPartialRequestError, String(error));
    assert.equal(error.status, status);
    assert.match(error.message, new RegExp(text));
    assert.deepEqual(read, []);
    assert.equal(response.body.destroyed, true);
  });
}

const DESTROYED: Readonly<Record<string, Answer>> = {
  'of another size': wholeAnswer(sampleBlob(101)),
  'of another range': singleAnswer(BLOB, { start: 11, end: 16 }),
  'without a boundary': multipartAnswer(BLOB, [SECOND], { contentType: 'multipart/byteranges' }),
  'with a part that was not asked for': multipartAnswer(BLOB, [{ start: 11, end: 16 }]),
  'of an unexpected status': { status: 204, headers: {}, bytes: Buffer.alloc(0) },
};

for (const [what, answer] of Object.entries(DESTROYED)) {
  test(`destroys the body of an answer ${what}`, async () => {
    const response = respond(answer, { packets: [1] });
    await assert.rejects(answeredBytes(response, [SECOND], BLOB.length).next());
    assert.equal(response.body.destroyed, true);
  });
}
