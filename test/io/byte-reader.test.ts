import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteReader } from '../../src/io/byte-reader.ts';

const pieces = [Buffer.from('one'), Buffer.from('two'), Buffer.from('three')];

test('bytes come in the amounts asked for, piece by piece, then undefined', async () => {
  const reader = new ByteReader(pieces);
  const taken: (string | undefined)[] = [];
  for (const limit of [2, 9, 4, 4, 4, 4]) taken.push((await reader.take(limit))?.toString());
  assert.deepEqual(taken, ['on', 'e', 'two', 'thre', 'e', undefined]);
});

test('waiting for bytes takes none of them', async () => {
  const reader = new ByteReader([Buffer.from('one')]);
  assert.equal(await reader.fill(), true);
  assert.equal(await reader.fill(), true);
  assert.equal((await reader.take(3))?.toString(), 'one');
  assert.equal(await reader.fill(), false);
});

test('closing it lets go of the pieces that are left, and a failure comes through', async () => {
  let isClosed = false;
  async function* failing(): AsyncGenerator<Buffer> {
    try {
      yield Buffer.from('one');
      throw new Error('broken');
    } finally {
      isClosed = true;
    }
  }
  const left = new ByteReader(failing());
  await left.fill();
  await left.close();
  assert.equal(isClosed, true);
  const read = new ByteReader(failing());
  await read.take(3);
  await assert.rejects(read.take(1), /broken/);
});
