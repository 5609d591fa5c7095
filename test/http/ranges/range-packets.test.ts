import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { exactly, packetsOf } from '../../../src/http/ranges/range-packets.ts';
import { bodyOf } from './range-answers.ts';

async function readSlowly(packets: AsyncIterable<Buffer>): Promise<{ text: string; error: unknown }> {
  let text = '';
  try {
    for await (const packet of packets) {
      assert.ok(packet.length > 0);
      text += packet.toString();
      await nextTurn();
    }
  } catch (error) {
    return { text, error };
  }
  return { text, error: undefined };
}

test('gives the bytes that a body had buffered when it broke off', async () => {
  const failure = new Error('socket hang up');
  const body = bodyOf(Buffer.from('hello world'), { packets: [1], failure });
  const { text, error } = await readSlowly(packetsOf(body));
  assert.equal(text, 'hello world');
  assert.equal((error as { code?: unknown }).code, 'ERR_SHORT_RANGE');
  assert.equal((error as Error).cause, failure);
});

test('hands an abort back as it is', async () => {
  const abort = new DOMException('enough', 'AbortError');
  const { error } = await readSlowly(packetsOf(bodyOf(Buffer.from('hello'), { failure: abort })));
  assert.equal(error, abort);
});

test('passes over empty packets', async () => {
  const body = Readable.from([Buffer.from('hel'), Buffer.alloc(0), Buffer.from('lo')]);
  assert.deepEqual(await readSlowly(packetsOf(body)), { text: 'hello', error: undefined });
});

test('gives exactly the bytes of a body of the right length', async () => {
  const body = bodyOf(Buffer.from('hello'), { packets: [2] });
  assert.deepEqual(await readSlowly(exactly(body, 5)), { text: 'hello', error: undefined });
});

test('gives the bytes that belong to the range before it refuses those that do not', async () => {
  for (const packets of [[1], [3], [11]]) {
    const { text, error } = await readSlowly(exactly(bodyOf(Buffer.from('hello world'), { packets }), 5));
    assert.equal(text, 'hello');
    assert.equal((error as { code?: unknown }).code, 'ERR_WRONG_RANGE');
  }
});

test('gives the bytes that are there before it says that some are missing', async () => {
  const { text, error } = await readSlowly(exactly(bodyOf(Buffer.from('hell')), 5));
  assert.equal(text, 'hell');
  assert.equal((error as { code?: unknown }).code, 'ERR_SHORT_RANGE');
});
