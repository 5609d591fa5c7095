import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RangeQueue, type Batch, type BatchLimits } from '../../../src/partial/fetch/range-batches.ts';
import type { BlobRange } from '../../../src/contract/blob-chunk-accessor.ts';

const unlimited: BatchLimits = { bytes: Infinity, ranges: Infinity, gap: 0 };

function range(offset: number, length: number): BlobRange {
  return { offset, length };
}

function takeAll(queue: RangeQueue, limits: BatchLimits): readonly Batch[] {
  const batches: Batch[] = [];
  for (let batch = queue.take(limits); batch !== undefined; batch = queue.take(limits)) batches.push(batch);
  return batches;
}

test('ranges closer than the gap are asked for as one, and what is between is not wanted', () => {
  const queue = new RangeQueue([range(0, 10), range(110, 10), range(221, 10)]);
  const batch = queue.take({ ...unlimited, gap: 100 });
  assert.deepEqual(batch?.chunks, [range(0, 120), range(221, 10)]);
  assert.deepEqual(batch.wanted, [range(0, 10), range(110, 10), range(221, 10)]);
  assert.equal(batch.bytes, 30);
  assert.equal(queue.take(unlimited), undefined);
});

test('a range that is longer than a request may be is cut', () => {
  const batches = takeAll(new RangeQueue([range(5, 25)]), { ...unlimited, bytes: 10 });
  assert.deepEqual(
    batches.map(({ chunks }) => chunks),
    [[range(5, 10)], [range(15, 10)], [range(25, 5)]],
  );
});

test('what lies between counts as asked for as well', () => {
  const ranges = Array.from({ length: 100 }, (_, index) => range(index * 50, 1));
  const batches = takeAll(new RangeQueue(ranges), { bytes: 1000, ranges: 1, gap: 50 });
  assert.equal(batches.length, 5);
  for (const { chunks, bytes } of batches) {
    assert.ok(chunks[0]!.length <= 1000);
    assert.equal(bytes, 20);
  }
});

test('a request has no more ranges than it may, nor a header line that proxies refuse', () => {
  const ranges = Array.from({ length: 500 }, (_, index) => range(10_000_000_000 + index * 1000, 1));
  const few = takeAll(new RangeQueue(ranges), { ...unlimited, ranges: 16 });
  assert.equal(few.length, Math.ceil(500 / 16));
  const many = takeAll(new RangeQueue(ranges), unlimited);
  for (const { chunks } of many) {
    const header = chunks.map(({ offset, length }) => `${offset}-${offset + length - 1}`).join(',');
    assert.ok(header.length <= 3500, `${header.length} characters`);
  }
  assert.equal(many.length, 4);
});

test('what is put back comes again, first, in its order', () => {
  const queue = new RangeQueue([range(0, 30), range(50, 10)]);
  const [first, second] = [queue.take({ ...unlimited, bytes: 10 }), queue.take({ ...unlimited, bytes: 10 })];
  queue.putBack([first!.wanted, second!.wanted]);
  assert.deepEqual(queue.take({ ...unlimited, bytes: 25 })?.wanted, [range(0, 10), range(10, 10), range(20, 5)]);
  assert.deepEqual(queue.take(unlimited)?.wanted, [range(25, 5), range(50, 10)]);
});

test('a great many ranges take no time', () => {
  const ranges = Array.from({ length: 100_000 }, (_, index) => range(index * 2, 1));
  const queue = new RangeQueue(ranges);
  const batch = queue.take({ bytes: Infinity, ranges: 1, gap: 1 });
  assert.equal(batch?.wanted.length, 100_000);
  queue.putBack([batch.wanted]);
  assert.equal(takeAll(queue, { bytes: 2 ** 21, ranges: 200, gap: 0 }).flatMap(({ wanted }) => wanted).length, 100_000);
});

test('batches give every wanted byte once, within their limits, whatever these are', () => {
  const ranges = fc.array(fc.record({ gap: fc.nat(300), length: fc.nat(200) }), { maxLength: 50 }).map((steps) => {
    let end = 0;
    return steps.map(({ gap, length }) => {
      const offset = end + gap;
      end = offset + length;
      return range(offset, length);
    });
  });
  const limits = fc.record({
    bytes: fc.integer({ min: 1, max: 500 }),
    ranges: fc.integer({ min: 1, max: 5 }),
    gap: fc.nat(100),
  });
  fc.assert(
    fc.property(ranges, limits, (wanted, limit) => {
      const batches = takeAll(new RangeQueue(wanted), limit);
      const bytes = (list: readonly BlobRange[]): number[] =>
        list.flatMap(({ offset, length }) => Array.from({ length }, (_, at) => offset + at));
      assert.deepEqual(bytes(batches.flatMap((batch) => batch.wanted)), bytes(wanted));
      for (const batch of batches) {
        const asked = new Set(bytes(batch.chunks));
        assert.ok(asked.size <= limit.bytes && batch.chunks.length <= limit.ranges);
        assert.equal(bytes(batch.chunks).length, asked.size, 'no byte is asked for twice');
        assert.ok(bytes(batch.wanted).every((byte) => asked.has(byte)));
        assert.equal(batch.bytes, bytes(batch.wanted).length);
      }
    }),
  );
});
