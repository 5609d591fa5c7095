import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteRanges } from '../../src/local/byte-ranges.ts';
import type { ByteRange } from '../../src/io/byte-range.ts';

const range = (start: number, end: number): ByteRange => ({ start, end });

/** Takes the ranges out, first to last. */
function drain(ranges: ByteRanges): ByteRange[] {
  const all: ByteRange[] = [];
  for (let { first } = ranges; first !== undefined; { first } = ranges) {
    all.push(first);
    ranges.remove(first);
  }
  return all;
}

function rangesOf(...added: ByteRange[]): ByteRanges {
  const ranges = new ByteRanges();
  for (const each of added) ranges.add(each);
  return ranges;
}

test('keeps ranges sorted, and apart where they do not touch', () => {
  assert.deepEqual(drain(rangesOf(range(20, 30), range(0, 10))), [range(0, 10), range(20, 30)]);
});

test('merges ranges that touch or overlap', () => {
  assert.deepEqual(drain(rangesOf(range(0, 10), range(20, 30), range(10, 20))), [range(0, 30)]);
  assert.deepEqual(drain(rangesOf(range(5, 10), range(12, 14), range(0, 13))), [range(0, 14)]);
});

test('takes no empty range', () => {
  assert.equal(rangesOf(range(5, 5)).first, undefined);
});

test('removes from the middle, the ends and beyond', () => {
  const ranges = rangesOf(range(0, 10), range(20, 30));
  ranges.remove(range(4, 6));
  ranges.remove(range(28, Infinity));
  ranges.remove(range(12, 15));
  assert.deepEqual(drain(ranges), [range(0, 4), range(6, 10), range(20, 28)]);
});

test('tells overlapping from touching', () => {
  const ranges = rangesOf(range(10, 20));
  assert.equal(ranges.overlaps(range(19, 25)), true);
  assert.equal(ranges.overlaps(range(0, 100)), true);
  assert.equal(ranges.overlaps(range(20, 25)), false);
  assert.equal(ranges.overlaps(range(0, 10)), false);
});
