import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { type AcquireOptions, type Release, Semaphore } from '../../src/io/semaphore.ts';

/** Acquires, and notes the name when it is granted. */
function take(semaphore: Semaphore, granted: string[], name: string, options: AcquireOptions = {}): Promise<Release> {
  return semaphore.acquire(options).then((release) => {
    granted.push(name);
    return release;
  });
}

test('listens to a signal only while it waits', async () => {
  const semaphore = new Semaphore(1);
  const { signal } = new AbortController();
  const free = semaphore.acquire({ signal });
  assert.equal(getEventListeners(signal, 'abort').length, 0);
  const waiting = semaphore.acquire({ signal });
  assert.equal(getEventListeners(signal, 'abort').length, 1);
  (await free)();
  await waiting;
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('grants what there is room for, and lets the rest wait', async () => {
  const semaphore = new Semaphore(2);
  const granted: string[] = [];
  const first = await take(semaphore, granted, 'first');
  await take(semaphore, granted, 'second');
  const third = take(semaphore, granted, 'third');
  await nextTurn();
  assert.deepEqual([granted, semaphore.waiting], [['first', 'second'], 1]);
  first();
  await third;
  assert.deepEqual([granted, semaphore.waiting], [['first', 'second', 'third'], 0]);
});

test('serves the highest priority first, and equal ones in the order they came', async () => {
  const semaphore = new Semaphore(1);
  const release = await semaphore.acquire();
  const granted: string[] = [];
  const waiting = [
    take(semaphore, granted, 'small', { priority: 1 }),
    take(semaphore, granted, 'large', { priority: 9 }),
    take(semaphore, granted, 'plain'),
    take(semaphore, granted, 'large too', { priority: 9 }),
  ];
  release();
  await Promise.all(waiting.map(async (turn) => (await turn)()));
  assert.deepEqual(granted, ['large', 'large too', 'small', 'plain']);
});

test('counts weights: a light one does not take the place of a heavy one that came before', async () => {
  const semaphore = new Semaphore(4);
  const release = await semaphore.acquire({ weight: 3 });
  const granted: string[] = [];
  const heavy = take(semaphore, granted, 'heavy', { weight: 4 });
  const light = take(semaphore, granted, 'light', { weight: 1 });
  await nextTurn();
  assert.deepEqual(granted, []);
  release();
  (await heavy)();
  await light;
  assert.deepEqual(granted, ['heavy', 'light']);
});

test('takes a weight above the whole capacity for the whole', async () => {
  const semaphore = new Semaphore(4);
  const granted: string[] = [];
  const release = await take(semaphore, granted, 'giant', { weight: 100 });
  const next = take(semaphore, granted, 'next', { weight: 0.25 });
  await nextTurn();
  assert.deepEqual(granted, ['giant']);
  release();
  await next;
});

test('gives back once, however often it is told to', async () => {
  const semaphore = new Semaphore(1);
  const release = await semaphore.acquire();
  release();
  release();
  await semaphore.acquire();
  const granted: string[] = [];
  void take(semaphore, granted, 'second');
  await nextTurn();
  assert.deepEqual(granted, []);
});

test('lets an aborted one go, and serves those behind it', async () => {
  const semaphore = new Semaphore(4);
  const release = await semaphore.acquire({ weight: 3 });
  const controller = new AbortController();
  const heavy = semaphore.acquire({ weight: 4, signal: controller.signal });
  const light = semaphore.acquire({ weight: 1 });
  const reason = new Error('enough');
  controller.abort(reason);
  await assert.rejects(heavy, reason);
  (await light)();
  release();
  assert.equal(semaphore.waiting, 0);
  await semaphore.acquire({ weight: 4 });
});

test('refuses at once when the signal is aborted already, and takes nothing', async () => {
  const semaphore = new Semaphore(1);
  await assert.rejects(semaphore.acquire({ signal: AbortSignal.abort() }), { name: 'AbortError' });
  await semaphore.acquire();
});

test('keeps what it granted when the signal is aborted later', async () => {
  const semaphore = new Semaphore(1);
  const controller = new AbortController();
  const release = await semaphore.acquire({ signal: controller.signal });
  controller.abort();
  const granted: string[] = [];
  const next = take(semaphore, granted, 'next');
  await nextTurn();
  assert.deepEqual(granted, []);
  release();
  await next;
});

test('grants more when it grows, and waits until enough is released when it shrinks', async () => {
  const semaphore = new Semaphore(1);
  const releases = [await semaphore.acquire()];
  const granted: string[] = [];
  const waiting = ['second', 'third', 'fourth'].map((name) => take(semaphore, granted, name));
  semaphore.resize(3);
  assert.equal(semaphore.capacity, 3);
  releases.push(...(await Promise.all(waiting.slice(0, 2))));
  assert.deepEqual(granted, ['second', 'third']);
  semaphore.resize(1);
  releases[0]?.();
  releases[1]?.();
  await nextTurn();
  assert.deepEqual(granted, ['second', 'third']);
  releases[2]?.();
  await waiting[2];
});

test('lets one through that weighs more than what the capacity has shrunk to', async () => {
  const semaphore = new Semaphore(8);
  const release = await semaphore.acquire({ weight: 8 });
  const heavy = semaphore.acquire({ weight: 8 });
  semaphore.resize(2);
  release();
  (await heavy)();
});

test('takes at once what is free when nobody waits, and nothing else', async () => {
  const semaphore = new Semaphore(2);
  const release = semaphore.tryAcquire(2);
  assert.ok(release);
  assert.equal(semaphore.tryAcquire(1), undefined);
  const waiting = semaphore.acquire({ weight: 2 });
  release();
  (await waiting)();
  assert.ok(semaphore.tryAcquire(1));
  void semaphore.acquire({ weight: 2 });
  assert.equal(semaphore.tryAcquire(1), undefined);
});

test('never has more in use than its capacity, and serves all that are not aborted', async () => {
  const users = fc.record({
    weight: fc.constantFrom(0.25, 1, 2, 5, 20),
    priority: fc.integer({ min: 0, max: 3 }),
    turns: fc.integer({ min: 0, max: 3 }),
    abortAfter: fc.option(fc.integer({ min: 0, max: 4 }), { nil: undefined }),
  });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 8 }), fc.array(users, { maxLength: 20 }), async (capacity, all) => {
      const semaphore = new Semaphore(capacity);
      let used = 0;
      let served = 0;
      const use = async ({ weight, priority, turns, abortAfter }: (typeof all)[number]): Promise<void> => {
        const controller = new AbortController();
        void pass(abortAfter ?? Infinity).then(() => controller.abort());
        const release = await semaphore.acquire({ weight, priority, signal: controller.signal });
        used += Math.min(weight, capacity);
        assert.ok(used <= capacity);
        await pass(turns);
        used -= Math.min(weight, capacity);
        served += 1;
        release();
      };
      const outcomes = await Promise.allSettled(all.map(use));
      const aborted = outcomes.filter((outcome) => outcome.status === 'rejected');
      assert.ok(aborted.every(({ reason }) => (reason as Error).name === 'AbortError'));
      assert.equal(served + aborted.length, all.length);
      assert.equal(semaphore.waiting, 0);
      assert.equal(used, 0);
    }),
    { numRuns: 60 },
  );
});

/** Lets so many turns of the event loop pass; none at all where the number is infinite. */
async function pass(turns: number): Promise<void> {
  if (turns === Infinity) return await new Promise(() => {});
  for (let left = turns; left > 0; left -= 1) await nextTurn();
}
