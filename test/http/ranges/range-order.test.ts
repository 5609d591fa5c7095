import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readRanges } from '../../../src/http/ranges/range-reader.ts';
import { BadPartialRequestError } from '../../../src/contract/errors.ts';
import { askedBytes, infoOf, multipartAnswer, readAll, respond, sampleBlob } from './range-answers.ts';

test('keeps at most 8 MiB of parts that come before their turn', async () => {
  const mebibyte = 1024 * 1024;
  const large = sampleBlob(10 * mebibyte);
  const tail = { start: mebibyte, end: 10 * mebibyte };
  const chunks = [{ offset: 0, length: 10 }, { offset: mebibyte }];
  for (const [early, isRefused] of [
    [tail, true],
    [{ start: 2 * mebibyte, end: tail.end }, false],
  ] as const) {
    const response = respond(multipartAnswer(large, [early, { start: 0, end: 10 }]), { packets: [65_536] });
    const asked = [{ offset: 0, length: 10 }, { offset: early.start }];
    const { read, error } = await readAll(readRanges(async () => response, infoOf(large), asked));
    assert.equal(error instanceof BadPartialRequestError, isRefused);
    assert.equal(read.length, isRefused ? 0 : 2);
    assert.equal(response.body.destroyed, true);
  }
  const pairs = [0, 5].flatMap((start) => [
    { start: start * mebibyte, end: start * mebibyte + 10 },
    { start: start * mebibyte + 10, end: (start + 4.5) * mebibyte },
  ]);
  const swapped = [pairs[1], pairs[0], pairs[3], pairs[2]].filter((part) => part !== undefined);
  const asked = pairs.map(({ start, end }) => ({ offset: start, length: end - start }));
  const outcome = await readAll(readRanges(async () => respond(multipartAnswer(large, swapped)), infoOf(large), asked));
  assert.equal(outcome.error, undefined);
  assert.ok(Buffer.concat(outcome.read).equals(Buffer.concat(askedBytes(large, asked))));

  const inTurn = respond(multipartAnswer(large, [{ start: 0, end: 10 }, tail]), { packets: [65_536] });
  const { read, error } = await readAll(readRanges(async () => inTurn, infoOf(large), chunks));
  assert.equal(error, undefined);
  assert.ok(read[1]?.equals(large.subarray(mebibyte)));
});
