import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { digestOf } from '../../../src/digest/digest.ts';
import {
  assertTiling,
  coalesceFetches,
  complement,
  planOf,
  type Plan,
  type Segment,
} from '../../../src/partial/plan/segments.ts';
import type { BlobRange } from '../../../src/contract/blob-chunk-accessor.ts';

const blob = digestOf(Buffer.from('old'));

/** A plan in short: `r10 f5` is ten bytes reused, then five fetched; `h` is here already. */
function plan(text: string): Plan {
  let offset = 0;
  const segments = text.split(' ').map((part): Segment => {
    const length = Number(part.slice(1));
    const place = range(offset, length);
    offset += length;
    if (part.startsWith('r')) return { kind: 'reuse', blob, blobOffset: 1000 + place.offset, ...place };
    if (part.startsWith('h')) return { kind: 'have', bytes: Buffer.alloc(length), ...place };
    return { kind: 'fetch', ...place };
  });
  return planOf(segments);
}

function short({ segments }: Plan): string {
  return segments.map(({ kind, length }) => `${kind[0]}${length}`).join(' ');
}

function range(offset: number, length: number): BlobRange {
  return { offset, length };
}

for (const { name, before, gapBytes, after } of [
  { name: 'joins fetches over a small reused piece', before: 'f10 r3 f10', gapBytes: 3, after: 'f23' },
  { name: 'joins fetches over several small pieces', before: 'f10 r1 r1 r1 f10', gapBytes: 3, after: 'f23' },
  { name: 'leaves a gap that is too large', before: 'f10 r4 f10', gapBytes: 3, after: 'f10 r4 f10' },
  { name: 'leaves pieces that together are too large', before: 'f10 r2 r2 f10', gapBytes: 3, after: 'f10 r2 r2 f10' },
  { name: 'joins neighbours where the gap is 0', before: 'f10 f10 r1 f10', gapBytes: 0, after: 'f20 r1 f10' },
  { name: 'keeps reused pieces at both ends', before: 'r1 f10 r1', gapBytes: 9, after: 'r1 f10 r1' },
  { name: 'never fetches what is here', before: 'f10 r1 h5', gapBytes: 9, after: 'f10 r1 h5' },
  { name: 'goes on after a fetch that was joined', before: 'f1 r1 f1 r1 f1 r9 f1', gapBytes: 1, after: 'f5 r9 f1' },
]) {
  test(`coalescing ${name}`, () => {
    assert.equal(short(coalesceFetches(plan(before), gapBytes)), after);
  });
}

test('coalescing counts what it fetches instead of reusing it', () => {
  const { bytesReused, bytesFetched } = coalesceFetches(plan('r100 f10 r3 f10 h7'), 3);
  assert.deepEqual({ bytesReused, bytesFetched }, { bytesReused: 100, bytesFetched: 30 });
});

test('the complement is what was reused, neighbours joined', () => {
  assert.deepEqual(complement(plan('r10 r5 f10 r3 h7')), [
    { offset: 0, length: 15 },
    { offset: 25, length: 3 },
  ]);
  assert.deepEqual(complement(plan('f10 h7')), []);
});

test('tiling is asserted', () => {
  assertTiling([], 0);
  assertTiling(plan('r10 f5 h1').segments, 16);
  assert.throws(() => assertTiling([range(0, 5)], 6), /end at 5, not at 6/);
  assert.throws(() => assertTiling([range(0, 5), range(6, 1)], 7), /does not follow/);
  assert.throws(() => assertTiling([range(0, 5), range(4, 1)], 5), /does not follow/);
  assert.throws(() => assertTiling([range(0, 5), range(5, 0)], 5), /does not follow/);
  assert.throws(() => assertTiling([range(0, NaN)], NaN), /does not follow/);
});

test('coalescing keeps the tiling, and never separates what it may join', () => {
  const part = fc.tuple(fc.constantFrom('r', 'f', 'h'), fc.integer({ min: 1, max: 50 })).map(([k, n]) => `${k}${n}`);
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 40 }), fc.integer({ min: 0, max: 80 }), (parts, gapBytes) => {
      const before = plan(parts.join(' '));
      const after = coalesceFetches(before, gapBytes);
      const size = before.bytesFetched + before.bytesReused;
      assertTiling(after.segments, size);
      assert.equal(after.bytesFetched + after.bytesReused, size);
      assert.equal(short(coalesceFetches(after, gapBytes)), short(after));
      const kept = after.segments.filter(({ kind }) => kind !== 'fetch');
      assert.ok(kept.every((segment) => before.segments.includes(segment)));
    }),
  );
});
