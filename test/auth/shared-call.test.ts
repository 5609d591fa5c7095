import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SharedCall } from '../../src/auth/shared-call.ts';

test('one that gives up does not end the work of the others', async () => {
  const work = Promise.withResolvers<string>();
  const call = new SharedCall(() => work.promise);
  const impatient = new AbortController();
  const first = call.join(impatient.signal);
  const second = call.join(undefined);
  impatient.abort(new Error('no time'));
  await assert.rejects(first, /no time/);
  assert.equal(call.isOver, false);
  work.resolve('done');
  assert.equal(await second, 'done');
});

test('the work is aborted when the last one has given up', async () => {
  let signal: AbortSignal | undefined;
  const call = new SharedCall((given) => {
    signal = given;
    return new Promise<never>(() => undefined);
  });
  const [one, other] = [new AbortController(), new AbortController()];
  const joined = [call.join(one.signal), call.join(other.signal)];
  one.abort();
  await assert.rejects(joined[0] as Promise<never>, { name: 'AbortError' });
  assert.equal(signal?.aborted, false);
  other.abort();
  await assert.rejects(joined[1] as Promise<never>, { name: 'AbortError' });
  assert.equal(signal?.aborted, true);
  assert.equal(call.isOver, true);
});

test('a signal that was aborted before leaves the result alone', async () => {
  const call = new SharedCall(() => Promise.reject(new Error('failed')));
  await assert.rejects(call.join(AbortSignal.abort()), { name: 'AbortError' });
  await assert.rejects(call.join(undefined), /failed/);
});
