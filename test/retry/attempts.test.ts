import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  Attempts,
  backoff,
  DEFAULT_RETRY_POLICY,
  judge,
  type Cost,
  type Failure,
  type NextAttempt,
  type RetryPolicy,
} from '../../src/retry/attempts.ts';

const MiB = 1024 * 1024;

interface Tried {
  readonly attempts: Attempts;
  readonly told: readonly NextAttempt[];
  readonly slept: readonly number[];
}

function tried(options: Partial<RetryPolicy> = {}, signal?: AbortSignal): Tried {
  const told: NextAttempt[] = [];
  const slept: number[] = [];
  const policy: RetryPolicy = {
    ...DEFAULT_RETRY_POLICY,
    random: () => 1,
    sleep: (ms) => {
      slept.push(ms);
      return Promise.resolve();
    },
    ...options,
  };
  return { attempts: new Attempts({ policy, signal, notify: (next) => void told.push(next) }), told, slept };
}

/** How often a failure is followed by another try; ends where the budget has no end. */
async function countTries(attempts: Attempts, failure: Failure): Promise<number> {
  let count = 0;
  while (count < 100 && (await attempts.again(failure))) count += 1;
  return count;
}

test('each kind of failure has a budget of its own, and every wait is reported', async () => {
  const { attempts, told, slept } = tried({ retries: 3 });
  assert.equal(await countTries(attempts, { why: '503' }), 3);
  assert.deepEqual(slept, [500, 1000, 2000]);
  assert.equal(await countTries(attempts, { why: '429', costs: 'wait' }), 8);
  assert.equal(await countTries(attempts, { why: '413', costs: 'lesson' }), 16);
  assert.equal(slept.length, 3 + 8, 'the next way is tried at once');
  assert.deepEqual(
    told.map(({ why }) => why),
    [...Array<string>(3).fill('503'), ...Array<string>(8).fill('429'), ...Array<string>(16).fill('413')],
  );
});

test('no retries means none: a rate limit is not waited out either, but another way is tried', async () => {
  for (const [costs, times] of [
    ['retry', 0],
    ['wait', 0],
    ['lesson', 16],
  ] as const) {
    assert.equal(await countTries(tried({ retries: 0 }).attempts, { why: 'no', costs }), times, costs);
  }
});

test('a failure that needs fewer retries gets fewer', async () => {
  assert.equal(await countTries(tried().attempts, { why: 'no such name', maxRetries: 1 }), 1);
  assert.equal(await countTries(tried({ retries: 0 }).attempts, { why: 'no such name', maxRetries: 1 }), 0);
});

test('only what was never reached before is progress', async () => {
  const { attempts } = tried({ retries: 2 });
  assert.equal(await countTries(attempts, { why: 'cut' }), 2);
  attempts.reached(MiB);
  assert.equal(await countTries(attempts, { why: 'cut' }), 2, 'a MiB more: all retries again');
  for (const position of [0, MiB, MiB + 1000, 0, MiB + 2000]) attempts.reached(position);
  assert.equal(await countTries(attempts, { why: 'cut' }), 0);
});

test('small steps are progress once they make up enough', async () => {
  const { attempts } = tried({ retries: 2 });
  await attempts.again({ why: 'cut' });
  attempts.reached(MiB / 2);
  await attempts.again({ why: 'cut' });
  attempts.reached(MiB);
  assert.equal(await countTries(attempts, { why: 'cut' }), 2);
});

test('work that goes back and forth ends', async () => {
  const { attempts } = tried();
  let tries = 0;
  for (const position of [5 * MiB, 0, 5 * MiB, 0, 5 * MiB, 0, 5 * MiB, 0]) {
    attempts.reached(position);
    if (!(await attempts.again({ why: 'lost' }))) break;
    tries += 1;
  }
  assert.equal(tries, 5);
});

test('lets go of what the failed try holds before it waits, and only where another follows', async () => {
  const order: string[] = [];
  const { attempts } = tried({
    retries: 1,
    sleep: () => {
      order.push('sleep');
      return Promise.resolve();
    },
  });
  const letGo = (): Promise<void> => {
    order.push('let go');
    return Promise.resolve();
  };
  assert.deepEqual(
    [await attempts.again({ why: '503' }, letGo), await attempts.again({ why: '503' }, letGo)],
    [true, false],
  );
  assert.deepEqual(order, ['let go', 'sleep']);
});

test('ends with the reason of its signal', async () => {
  const { attempts, told } = tried({}, AbortSignal.abort(new Error('enough')));
  await assert.rejects(attempts.again({ why: 'cut' }), /enough/);
  assert.deepEqual(told, []);
});

test('obeys the time that a server asks for, up to five minutes, and never waits less than its own', () => {
  const spent = { retry: 2, wait: 0, lesson: 0 };
  const policy = { ...DEFAULT_RETRY_POLICY, random: () => 1 };
  const delayOf = (costs: Cost, waitMs?: number): unknown => judge({ why: '', costs, waitMs }, spent, policy);
  assert.deepEqual(delayOf('retry', 7000), { again: true, delayMs: 7000 });
  assert.deepEqual(delayOf('retry', 100), { again: true, delayMs: 2000 });
  assert.deepEqual(delayOf('wait', 1e12), { again: true, delayMs: 300_000 });
  assert.deepEqual(delayOf('wait'), { again: true, delayMs: 1000 });
});

test('doubles the time between retries, within the upper half of its bound', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 40 }), fc.double({ min: 0, max: 1, noNaN: true }), (used, random) => {
      const policy = { ...DEFAULT_RETRY_POLICY, random: () => random };
      const bound = Math.min(30_000, 500 * 2 ** used);
      const delayMs = backoff(policy, used);
      assert.ok(delayMs >= Math.floor(bound / 2) && delayMs <= bound);
    }),
  );
  assert.equal(backoff({ ...DEFAULT_RETRY_POLICY, random: () => 0 }, 2), 1000);
});
