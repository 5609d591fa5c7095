import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { orAborted } from '../../src/io/or-aborted.ts';

test('what a promise brings comes through, and nothing stays on the signal', async () => {
  const { signal } = new AbortController();
  assert.equal(await orAborted(Promise.resolve(1), undefined), 1);
  assert.equal(await orAborted(Promise.resolve(1), signal), 1);
  await assert.rejects(orAborted(Promise.reject(new Error('broken')), signal), /broken/);
  assert.deepEqual(getEventListeners(signal, 'abort'), []);
});

test('an abort ends the wait, and a failure after it is nobody’s', async () => {
  const work = Promise.withResolvers<never>();
  const controller = new AbortController();
  const waiting = orAborted(work.promise, controller.signal);
  controller.abort('enough');
  await assert.rejects(waiting, (reason) => reason === 'enough');
  await assert.rejects(orAborted(work.promise, controller.signal), (reason) => reason === 'enough');
  // Were it not handled, the process would end.
  work.reject(new Error('too late'));
});
