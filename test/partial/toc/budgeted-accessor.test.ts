import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { MemoryBudget, type MemoryShare } from '../../../src/io/memory.ts';
import { BudgetedAccessor, TailMemory } from '../../../src/partial/toc/budgeted-accessor.ts';
import { UnusableTailError } from '../../../src/partial/toc/unusable-tail-error.ts';
import { randomBytes } from '../../support/images.ts';
import { MemoryAccessor, readersOf } from '../../support/memory-accessor.ts';
import { infoOf } from '../../support/registry-transport.ts';

const blob = randomBytes('blob', 1000);
const info = infoOf(blob);

async function read(accessor: BudgetedAccessor, offset: number, length: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of readersOf(accessor.getBlobAt(info, [{ offset, length }]))) parts.push(await buffer(part));
  return Buffer.concat(parts);
}

/** A share of so many bytes, out of so many. */
async function shareOf(bytes: number, budget: number): Promise<MemoryShare> {
  const share = await new MemoryBudget(budget).openAccount().take(bytes);
  assert.ok(share);
  return share;
}

test('what is read takes four times its bytes, of what was foreseen and then of what is free', async () => {
  const share = await shareOf(400, 1000);
  const memory = new TailMemory(share);
  const accessor = new BudgetedAccessor(new MemoryAccessor(blob), memory);
  assert.ok((await read(accessor, 900, 100)).equals(blob.subarray(900)));
  assert.equal(share.bytes, 400);
  await read(accessor, 850, 50);
  assert.deepEqual([share.bytes, memory.isShort], [600, false]);
});

test('what there is no room for is not read, and noted', async () => {
  const share = await shareOf(400, 500);
  const memory = new TailMemory(share);
  const source = new MemoryAccessor(blob);
  const accessor = new BudgetedAccessor(source, memory);
  await read(accessor, 900, 100);
  await assert.rejects(read(accessor, 0, 100), UnusableTailError);
  assert.equal(source.requests.length, 1);
  assert.deepEqual([memory.isShort, memory.wanted], [true, 800]);
});

test('a source that ignores ranges is reported, not read', async () => {
  const source = new MemoryAccessor(blob, { answer: () => 'whole' });
  const accessor = new BudgetedAccessor(source, new TailMemory(await shareOf(1000, 1000)));
  const answer = await accessor.getBlobAt(info, [{ offset: 0, length: 10 }]);
  assert.ok(answer.kind === 'whole');
  answer.stream.destroy();
});

test('pieces count where there are more than the compressed bytes let one expect', async () => {
  const share = await shareOf(4000, 60_000);
  const memory = new TailMemory(share);
  memory.spend(1000);
  assert.equal(memory.hasRoomFor(16, 1000), true);
  assert.equal(share.bytes, 4000, 'as many as were expected');
  assert.equal(memory.hasRoomFor(200, 1000), true);
  assert.equal(share.bytes, 50_000);
  assert.equal(memory.hasRoomFor(200, 1000), false);
  assert.deepEqual([memory.isShort, share.bytes], [true, 50_000]);
});
