import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { byteRanges, describeRange, formatRange, remainingChunks } from '../../../src/http/ranges/byte-ranges.ts';

test('asks for chunks in one Range header (behaviour 1)', () => {
  const five = { offset: 0, length: 5 };
  assert.equal(formatRange([five]), 'bytes=0-4');
  assert.equal(formatRange([five, { offset: 10, length: 5 }]), 'bytes=0-4,10-14');
  assert.equal(formatRange([five, { offset: 10 }]), 'bytes=0-4,10-');
  assert.equal(formatRange([{ offset: 7, length: 1 }]), 'bytes=7-7');
});

test('places chunks in a blob', () => {
  assert.deepEqual(byteRanges([{ offset: 2, length: 3 }, { offset: 9 }], 12), [
    { start: 2, end: 5 },
    { start: 9, end: 12 },
  ]);
  assert.equal(describeRange({ start: 2, end: 5 }), '2-4');
});

test('names what is left of chunks', () => {
  const chunks = [{ offset: 0, length: 5 }, { offset: 10, length: 5 }, { offset: 20 }];
  const left = (received: number): string => {
    const remaining = remainingChunks(chunks, received, 25);
    return remaining.length === 0 ? 'nothing' : formatRange(remaining);
  };
  assert.equal(left(0), 'bytes=0-4,10-14,20-');
  assert.equal(left(3), 'bytes=3-4,10-14,20-');
  assert.equal(left(5), 'bytes=10-14,20-');
  assert.equal(left(9), 'bytes=14-14,20-');
  assert.equal(left(10), 'bytes=20-');
  assert.equal(left(12), 'bytes=22-');
  assert.equal(left(15), 'nothing');
});

test('loses and repeats no byte, however often the rest is asked for', () => {
  const gapsAndLengths = fc.array(fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 20 })), {
    minLength: 1,
    maxLength: 8,
  });
  fc.assert(
    fc.property(gapsAndLengths, fc.array(fc.nat(30)), (list, steps) => {
      let position = 0;
      const chunks = list.map(([gap, length]) => {
        const offset = position + gap;
        position = offset + length;
        return { offset, length };
      });
      const offsets = positions(chunks);
      let left: readonly { offset: number; length?: number | undefined }[] = chunks;
      let received = 0;
      for (const step of steps) {
        left = remainingChunks(left, step, position);
        received += step;
        assert.deepEqual(positions(left), offsets.slice(received));
      }
    }),
  );
});

function positions(chunks: readonly { offset: number; length?: number | undefined }[]): number[] {
  return chunks.flatMap(({ offset, length = 0 }) => Array.from({ length }, (_, index) => offset + index));
}
