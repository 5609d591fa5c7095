import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delayedAbort } from '../../../src/transports/registry/delayed-abort.ts';

test('the abort is heard two seconds later, with its reason', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const controller = new AbortController();
  using late = delayedAbort(controller.signal);
  controller.abort('enough');
  t.mock.timers.tick(1_999);
  assert.equal(late.signal?.aborted, false);
  t.mock.timers.tick(1);
  assert.equal(late.signal?.reason, 'enough');
});

test('a request that has ended hears nothing more', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const controller = new AbortController();
  const late = delayedAbort(controller.signal);
  late[Symbol.dispose]();
  controller.abort();
  t.mock.timers.tick(10_000);
  assert.equal(late.signal?.aborted, false);
});

test('nothing is begun after an abort', () => {
  assert.throws(
    () => delayedAbort(AbortSignal.abort('enough')),
    (reason) => reason === 'enough',
  );
  using late = delayedAbort(undefined);
  assert.equal(late.signal, undefined);
});
