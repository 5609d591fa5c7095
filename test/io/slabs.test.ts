import assert from 'node:assert/strict';
import { test } from 'node:test';
import { giveBack, SLAB_BYTES, takeSlab } from '../../src/io/slabs.ts';

test('a slab is used again when all of its bytes have come back, in whatever parts, and not before', () => {
  const slab = takeSlab();
  assert.equal(slab.length, SLAB_BYTES);
  giveBack(slab.subarray(0, 1000));
  giveBack(slab.subarray(5000));
  const other = takeSlab();
  assert.notEqual(other.buffer, slab.buffer);
  giveBack(slab.subarray(1000, 5000));
  const again = takeSlab();
  assert.equal(again.buffer, slab.buffer);
  assert.equal(again.length, SLAB_BYTES);
  giveBack(other);
  giveBack(again);
});

test('bytes that are given back once too often are not handed out twice', () => {
  const slab = takeSlab();
  giveBack(slab);
  giveBack(slab);
  const [one, other] = [takeSlab(), takeSlab()];
  assert.notEqual(one.buffer, other.buffer);
  giveBack(one);
  giveBack(other);
});

test('memory of other kinds stays as it is', () => {
  const bytes = Buffer.alloc(SLAB_BYTES, 7);
  giveBack(bytes);
  for (let count = 0; count < 100; count += 1) assert.notEqual(takeSlab().buffer, bytes.buffer);
});
