import assert from 'node:assert/strict';
import { constants, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { once } from 'node:events';
import { test } from 'node:test';
import { inPipeTurns } from '../../src/io/pipe-turns.ts';
import { PipeStream } from '../../src/io/pipe-stream.ts';
import { writeNamedPipe } from '../../src/transports/archive/named-pipe.ts';
import { makeNamedPipe } from '../support/named-pipe.ts';

const timeout = 30_000;
const KiB = 1024;

/** The lengths of the parts that work is done on, and in which turn of the event loop each is: 0 is the one that it begins in. */
async function workOn(pieces: readonly Buffer[]): Promise<readonly { length: number; turn: number }[]> {
  let turn = 0;
  let isDone = false;
  const count = (): void => {
    turn += 1;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  const parts: { length: number; turn: number }[] = [];
  await inPipeTurns(pieces, ({ length }) => void parts.push({ length, turn }));
  isDone = true;
  return parts;
}

const pieces = [Buffer.alloc(130 * KiB), Buffer.alloc(10)];
const atOnce = [
  { length: 130 * KiB, turn: 0 },
  { length: 10, turn: 0 },
];
const inTurns = [
  { length: 64 * KiB, turn: 0 },
  { length: 64 * KiB, turn: 1 },
  { length: 2 * KiB, turn: 2 },
  { length: 10, turn: 3 },
];

test('without a pipe, work is done on whole pieces, at once', async () => {
  assert.deepEqual(await workOn(pieces), atOnce);
});

test('while a pipe is read, as much is done in one turn of the event loop as a pipe holds', { timeout }, async (t) => {
  const path = await makeNamedPipe(t);
  const stream = new PipeStream(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  assert.deepEqual(await workOn(pieces), inTurns);
  const writer = await open(path, 'w');
  await writer.close();
  await once(stream.resume(), 'close');
  assert.deepEqual(await workOn(pieces), atOnce);
});

test('and so it is while one is written', { timeout }, async (t) => {
  const path = await makeNamedPipe(t);
  const reader = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  t.after(() => reader.close());
  const output = await writeNamedPipe(path);
  assert.deepEqual(await workOn(pieces), inTurns);
  output.destroy();
  await once(output, 'close');
  assert.deepEqual(await workOn(pieces), atOnce);
});

test('what the work throws ends it', { timeout }, async (t) => {
  const path = await makeNamedPipe(t);
  const stream = new PipeStream(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  t.after(() => stream.destroy());
  const failure = new Error('it cannot go on');
  let calls = 0;
  const working = inPipeTurns(pieces, () => {
    calls += 1;
    if (calls === 2) throw failure;
  });
  await assert.rejects(working, failure);
  assert.equal(calls, 2);
});
