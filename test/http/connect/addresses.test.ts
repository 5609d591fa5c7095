import assert from 'node:assert/strict';
import type { LookupFunction } from 'node:net';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Addresses } from '../../../src/http/connect/addresses.ts';

type Answer = Parameters<Parameters<LookupFunction>[2]>;

const here: Answer = [null, [{ address: '192.0.2.1', family: 4 }]];
const all = { all: true };

/** A name server that answers when it is told to, and notes the names that it was asked for. */
function nameServer(): {
  readonly asked: string[];
  readonly look: LookupFunction;
  readonly answer: (answer: Answer) => void;
} {
  const waiting: ((...answer: Answer) => void)[] = [];
  const asked: string[] = [];
  return {
    asked,
    look: (hostname, _options, callback) => {
      asked.push(hostname);
      waiting.push(callback);
    },
    answer: (answer) => waiting.splice(0).forEach((callback) => callback(...answer)),
  };
}

function resolve(addresses: Addresses, hostname = 'registry.test'): Promise<Answer> {
  return new Promise((done) => addresses.lookup(hostname, all, (...answer) => done(answer)));
}

test('asks once for all connections to a host that are opened together', async () => {
  const { asked, look, answer } = nameServer();
  const addresses = new Addresses(look);
  const before = [resolve(addresses), resolve(addresses), resolve(addresses, 'other.test')];
  answer(here);
  assert.deepEqual(await Promise.all([...before, resolve(addresses)]), [here, here, here, here]);
  assert.deepEqual(asked, ['registry.test', 'other.test']);
});

test('asks again after five seconds', async () => {
  const { asked, look, answer } = nameServer();
  let now = 0;
  const addresses = new Addresses(look, () => now);
  for (now of [0, 5_000, 5_001]) {
    const found = resolve(addresses);
    answer(here);
    assert.deepEqual(await found, here);
  }
  assert.equal(asked.length, 2);
});

test('asks again where a name did not resolve, and where the address was not reached', async () => {
  const { asked, look, answer } = nameServer();
  const addresses = new Addresses(look);
  const failure: Answer = [Object.assign(new Error('not found'), { code: 'ENOTFOUND' }), []];
  const failing = resolve(addresses);
  answer(failure);
  assert.deepEqual(await failing, failure);
  await nextTurn();
  const found = resolve(addresses);
  answer(here);
  await found;
  addresses.forget('registry.test');
  const again = resolve(addresses);
  answer(here);
  await again;
  assert.equal(asked.length, 3);
});
