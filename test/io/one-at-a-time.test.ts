import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OneAtATime } from '../../src/io/one-at-a-time.ts';

test('runs work of one key in turn, and of another key meanwhile', async () => {
  const turns = new OneAtATime<string>();
  const held = Promise.withResolvers<void>();
  const order: string[] = [];
  const first = turns.run('a', async () => {
    order.push('first');
    await held.promise;
    return 1;
  });
  const second = turns.run('a', async () => order.push('second'));
  await turns.run('b', async () => order.push('other'));
  assert.deepEqual(order, ['first', 'other']);
  held.resolve();
  assert.equal(await first, 1);
  await second;
  assert.deepEqual(order, ['first', 'other', 'second']);
});

test('continues after work that failed, and hands its failure to who asked for it', async () => {
  const turns = new OneAtATime<string>();
  const failed = turns.run('a', async () => Promise.reject(new Error('no')));
  const next = turns.run('a', async () => 'yes');
  await assert.rejects(failed, /no/);
  assert.equal(await next, 'yes');
});
