import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { Turns } from '../../../src/http/connect/turns.ts';

test('who goes after a failed opening, and makes no connection, does not keep the others waiting', async () => {
  const asked: PromiseWithResolvers<Socket>[] = [];
  const turns = new Turns(1, (count) => {
    for (let opened = 0; opened < count; opened += 1) {
      const next = Promise.withResolvers<Socket>();
      asked.push(next);
      turns.open(next.promise).catch(() => undefined);
    }
  });
  const [first, second] = [turns.wait(undefined), turns.wait(undefined)];
  assert.equal(asked.length, 1, 'no more than the most');
  asked[0]?.reject(new Error('refused'));
  const end = await first;
  end();
  assert.equal(asked.length, 2);
  asked[1]?.reject(new Error('refused'));
  await second;
});
