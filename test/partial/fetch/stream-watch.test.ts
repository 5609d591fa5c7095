import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StreamWatch } from '../../../src/partial/fetch/stream-watch.ts';

for (const [name, utilization, waitedMs, passedMs, rate] of [
  ['a stream that is waited for by an idle event loop is held up by its connection', 0.1, 300, 10, 10_000],
  ['a stream that waits for its consumer is not', 0.1, 50, 260, undefined],
  ['a stream that a busy event loop reads is not', 0.7, 300, 10, undefined],
  ['a short time shows nothing', 0.1, 200, 10, undefined],
] as const) {
  test(name, () => {
    let now = 0;
    const watch = new StreamWatch({ utilization: () => utilization, now: () => now });
    now += waitedMs;
    watch.came(3_100_000);
    now += passedMs;
    assert.equal(watch.heldUpRate(), rate);
  });
}

test('each quarter of a second is looked at by itself', () => {
  let now = 0;
  let utilization = 0.9;
  const watch = new StreamWatch({ utilization: () => utilization, now: () => now });
  now += 250;
  watch.came(25_000_000);
  assert.equal(watch.heldUpRate(), undefined);
  utilization = 0.1;
  now += 250;
  watch.came(2_500_000);
  assert.equal(watch.heldUpRate(), 10_000);
});
