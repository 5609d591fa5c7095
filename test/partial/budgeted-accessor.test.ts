import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { Semaphore } from '../../src/io/semaphore.ts';
import { BudgetedAccessor } from '../../src/partial/budgeted-accessor.ts';
import { WholeBlobError } from '../../src/types/errors.ts';
import { randomBytes } from '../support/images.ts';
import { MemoryAccessor } from '../support/memory-accessor.ts';
import { infoOf } from '../support/registry-transport.ts';

const blob = randomBytes('blob', 1000);
const info = infoOf(blob);

async function read(accessor: BudgetedAccessor, offset: number, length: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of accessor.getBlobAt(info, [{ offset, length }])) parts.push(await buffer(part));
  return Buffer.concat(parts);
}

/** How much could be taken now. */
function freeOf(memory: Semaphore): number {
  for (let weight = memory.capacity; weight > 0; weight -= 1) {
    const release = memory.tryAcquire(weight);
    if (release === undefined) continue;
    release();
    return weight;
  }
  return 0;
}

test('what was read takes four times its bytes, until the accessor is disposed of', async () => {
  const memory = new Semaphore(1000);
  {
    using accessor = new BudgetedAccessor(new MemoryAccessor(blob), memory);
    assert.ok((await read(accessor, 900, 100)).equals(blob.subarray(900)));
    assert.equal(freeOf(memory), 600);
    await read(accessor, 850, 50);
    assert.equal(freeOf(memory), 400);
  }
  assert.equal(freeOf(memory), 1000);
});

test('a request waits for its share, and nobody waits with one in hand', async () => {
  const memory = new Semaphore(1000);
  const source = new MemoryAccessor(blob);
  using first = new BudgetedAccessor(source, memory);
  using second = new BudgetedAccessor(source, memory);
  await Promise.all([read(first, 0, 100), read(second, 0, 100)]);
  // Both want more than there is beside the other's: they would wait for each other for ever.
  const more = read(first, 100, 100).then(() => first[Symbol.dispose]());
  await Promise.all([more, read(second, 100, 100)]);
  second[Symbol.dispose]();
  assert.equal(freeOf(memory), 1000);
});

test('more than there is at all takes all there is', async () => {
  const memory = new Semaphore(10);
  using accessor = new BudgetedAccessor(new MemoryAccessor(blob), memory);
  assert.ok((await read(accessor, 0, 1000)).equals(blob));
  assert.equal(freeOf(memory), 0);
});

test('a source that ignores ranges is reported, not read', async () => {
  const source = new MemoryAccessor(blob, { answer: () => 'whole' });
  using accessor = new BudgetedAccessor(source, new Semaphore(1000));
  await assert.rejects(read(accessor, 0, 10), (error) => {
    assert.ok(error instanceof WholeBlobError);
    error.stream.destroy();
    return true;
  });
});
