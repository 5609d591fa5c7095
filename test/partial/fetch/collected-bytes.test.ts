import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CollectedBytes } from '../../../src/partial/fetch/collected-bytes.ts';
import { giveBack, SLAB_BYTES, takeSlab } from '../../../src/io/slabs.ts';
import { randomBytes } from '../../support/images.ts';

/** What is kept alive by some buffers, in bytes. */
function memoryOf(buffers: readonly Buffer[]): number {
  return [...new Set(buffers.map(({ buffer }) => buffer))].reduce((sum, { byteLength }) => sum + byteLength, 0);
}

function collect(pieces: readonly Buffer[]): CollectedBytes {
  const bytes = new CollectedBytes();
  for (const piece of pieces) bytes.add(piece);
  return bytes;
}

test('large packets are kept as they came', () => {
  const packets = [randomBytes(1, 64 * 1024), randomBytes(2, 16 * 1024)].map((bytes) =>
    Buffer.from(new Uint8Array(bytes).buffer),
  );
  assert.deepEqual(
    collect(packets)
      .finish()
      .map(({ buffer }) => buffer),
    packets.map(({ buffer }) => buffer),
  );
});

test('many small pieces take few buffers, and do not keep what they are cut from', () => {
  const packet = Buffer.allocUnsafeSlow(1024 * 1024);
  const pieces = Array.from({ length: 2000 }, (_, index) => packet.subarray(index * 500, index * 500 + 100));
  const collected = collect(pieces).finish();
  assert.ok(collected.length <= 4);
  assert.ok(memoryOf(collected) <= 4 * 64 * 1024);
});

test('all bytes are there in their order, in at most twice the memory', () => {
  const sizes = fc.array(fc.oneof(fc.nat(200), fc.nat(20_000), fc.nat(200_000)), { maxLength: 40 });
  fc.assert(
    fc.property(sizes, (lengths) => {
      const pieces = lengths.map((length, index) => randomBytes(index, length));
      const bytes = collect(pieces);
      const expected = Buffer.concat(pieces);
      assert.equal(bytes.length, expected.length);
      const collected = bytes.finish();
      assert.ok(Buffer.concat(collected).equals(expected));
      assert.ok(memoryOf(collected) <= 2 * expected.length + 64 * 1024);
    }),
    { numRuns: 50 },
  );
});

test('bytes that will be given back are in slabs, and the rest of the last slab comes back at once', () => {
  const packets = Array.from({ length: 40 }, (_, index) => randomBytes(index, 30_000 + index));
  const expected = Buffer.concat(packets);
  const bytes = new CollectedBytes({ toSlabs: expected.length });
  for (const packet of packets) bytes.add(packet);
  const collected = bytes.finish();
  assert.ok(Buffer.concat(collected).equals(expected));
  assert.deepEqual(
    collected.slice(0, 2).map(({ length }) => length),
    [SLAB_BYTES, SLAB_BYTES],
  );
  const [first] = collected;
  for (const piece of collected) giveBack(piece);
  const free = Array.from({ length: 64 }, takeSlab);
  assert.ok(free.some(({ buffer }) => buffer === first?.buffer));
  for (const slab of free) giveBack(slab);
});
