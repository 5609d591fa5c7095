import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { type MemoryAccount, MemoryBudget, type MemoryShare, SPARE_BYTES } from '../../src/io/memory.ts';

const MiB = 1024 * 1024;

function give(share: MemoryShare | undefined): void {
  assert.ok(share);
  share[Symbol.dispose]();
}

test('an account waits for its turn while it holds nothing', async () => {
  const budget = new MemoryBudget(10);
  const first = await budget.openAccount().take(8);
  let isTaken = false;
  const second = budget.openAccount().take(5);
  void second.then(() => (isTaken = true));
  await nextTurn();
  assert.equal(isTaken, false);
  give(first);
  assert.equal((await second)?.bytes, 5);
  assert.equal(budget.used, 5);
});

test('an account that holds memory never waits for more: it gets what is free, or nothing', async () => {
  const budget = new MemoryBudget(10);
  const account = budget.openAccount();
  const held = await account.take(4);
  assert.equal((await account.take(6))?.bytes, 6);
  assert.equal(await account.take(1), undefined);
  assert.equal(account.takeNow(1), undefined);
  give(held);
  assert.equal(account.held, 6);
});

test('an account that waits takes nothing beside', async () => {
  const budget = new MemoryBudget(10);
  const other = await budget.openAccount().take(8);
  const account = budget.openAccount();
  const waiting = account.take(9);
  assert.equal(await account.take(1), undefined);
  assert.equal(account.takeNow(1), undefined);
  give(other);
  give(await waiting);
  give(account.takeNow(1));
});

test('more than there is at all counts as the whole', async () => {
  const budget = new MemoryBudget(10);
  const share = await budget.openAccount().take(1000);
  assert.deepEqual([share?.bytes, budget.used], [1000, 10]);
  share?.shrinkTo(3);
  assert.deepEqual([share?.bytes, budget.used], [3, 3]);
  give(share);
  assert.equal(budget.used, 0);
});

test('some memory is to be had in any case, beside the budget where that has none', async () => {
  const budget = new MemoryBudget(2 * MiB);
  const account = budget.openAccount();
  assert.equal(account.takeSome(8 * MiB).bytes, 2 * MiB);
  const spare = account.takeSome(8 * MiB);
  assert.deepEqual([spare.bytes, budget.used, account.held], [SPARE_BYTES, 2 * MiB, 2 * MiB + SPARE_BYTES]);
  assert.equal(account.takeSome(7).bytes, 7);
});

test('a share grows by what is free, and gives back what it is told to', async () => {
  const budget = new MemoryBudget(10);
  const share = await budget.openAccount().take(4);
  assert.equal(share?.grow(5), true);
  assert.equal(share?.grow(2), false);
  share?.shrinkTo(2);
  assert.deepEqual([share?.bytes, budget.used], [2, 2]);
  share?.shrinkTo(7);
  assert.equal(share?.bytes, 2);
  give(share);
  give(share);
  assert.equal(budget.used, 0);
});

test('who stops waiting takes nothing', async () => {
  const budget = new MemoryBudget(10);
  const held = await budget.openAccount().take(10);
  const controller = new AbortController();
  const account = budget.openAccount();
  const waiting = account.take(5, { signal: controller.signal });
  controller.abort();
  await assert.rejects(waiting, { name: 'AbortError' });
  give(held);
  assert.deepEqual([budget.used, account.held], [0, 0]);
  give(await account.take(10));
});

test('everyone gets on, whatever each takes while it holds something, and all is given back', async () => {
  const steps = fc.array(
    fc.record({ how: fc.constantFrom('take', 'now', 'some', 'grow'), bytes: fc.nat(30 * MiB), give: fc.boolean() }),
    { maxLength: 8 },
  );
  const budgets = fc.oneof(fc.nat(100), fc.integer({ min: 1, max: 24 * MiB }));
  await fc.assert(
    fc.asyncProperty(budgets, fc.array(fc.array(steps, { maxLength: 3 }), { maxLength: 12 }), async (bytes, blobs) => {
      const budget = new MemoryBudget(bytes);
      const work = async (account: MemoryAccount, todo: (typeof blobs)[number][number]): Promise<void> => {
        const held: MemoryShare[] = [];
        for (const { how, bytes: wanted, give: gives } of todo) {
          if (how === 'grow') held.at(-1)?.grow(wanted);
          const share =
            how === 'take'
              ? await account.take(wanted)
              : how === 'now'
                ? account.takeNow(wanted)
                : how === 'some'
                  ? account.takeSome(wanted)
                  : undefined;
          if (share !== undefined) held.push(share);
          assert.ok(budget.used <= budget.bytes);
          await nextTurn();
          if (gives) held.shift()?.[Symbol.dispose]();
        }
        for (const share of held) share[Symbol.dispose]();
      };
      await Promise.all(
        blobs.flatMap((workers) => {
          const account = budget.openAccount();
          return workers.map(async (todo) => await work(account, todo));
        }),
      );
      assert.equal(budget.used, 0);
    }),
    { numRuns: 200 },
  );
});
