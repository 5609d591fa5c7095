import assert from 'node:assert/strict';
import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { fanOut } from '../../src/copy/fan-out.ts';
import { randomBytes } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { destinationAt, infoOf, openAccess, sourceAt } from '../support/registry-transport.ts';

const blob = randomBytes('fan-out', 6_000_000);
const PACKET = 64 * 1024;

/** A stream of the blob, and how much of it was taken so far. */
function counted(): { readonly stream: Readable; readonly given: () => number } {
  let given = 0;
  function* packets(): Generator<Buffer> {
    for (; given < blob.length; given += PACKET) yield blob.subarray(given, given + PACKET);
  }
  return { stream: Readable.from(packets(), { objectMode: false }), given: () => given };
}

const WHOLE = { offset: 0, length: blob.length };

/** The whole blob for so many takers. */
function toAll(stream: Readable, takers: number): readonly Readable[] {
  return fanOut(stream, {
    ranges: [WHOLE],
    takers: Array.from({ length: takers }, () => [WHOLE]),
    onDeserted: () => stream.destroy(),
  });
}

test('two destinations are fed from one read', async () => {
  await using from = await startRegistry();
  await using first = await startRegistry();
  await using second = await startRegistry();
  await using access = openAccess();
  from.seedBlob('app', blob);
  await using source = await sourceAt(access, from, 'app:v1');
  const info = infoOf(blob);
  const { stream } = await source.getBlob(info);
  const streams = toAll(stream, 2);
  const puts = [first, second].map(async (registry, index) => {
    await using destination = await destinationAt(access, registry, 'mirror:v1');
    await destination.putBlobWithOptions(streams[index] as Readable, info, {});
    return registry.blobs('mirror').length;
  });
  assert.deepEqual(await Promise.all(puts), [1, 1]);
  assert.equal(from.count({ method: 'GET', path: /blobs/ }), 1);
});

test('the slowest taker sets the pace', async () => {
  const { stream, given } = counted();
  const [fast, slow] = toAll(stream, 2) as [Readable, Readable];
  const read = buffer(fast);
  for (let turns = 0; turns < 100; turns += 1) await nextTurn();
  assert.ok(given() < 2_000_000, `${given()} bytes were read for one that takes none`);
  assert.ok((await buffer(slow)).equals(blob));
  assert.ok((await read).equals(blob));
});

test('who leaves is not waited for, and the last one that leaves ends the source', async () => {
  const { stream } = counted();
  const [stays, leaves] = toAll(stream, 2) as [Readable, Readable];
  await once(leaves, 'readable');
  leaves.destroy();
  assert.ok((await buffer(stays)).equals(blob));
  const other = counted();
  const all = toAll(other.stream, 2);
  const ended = new Promise((resolve) => void other.stream.once('close', resolve));
  for (const taker of all) taker.destroy();
  await ended;
  assert.ok(other.given() < blob.length);
});

test('a source that fails fails for every taker', async () => {
  const failure = new Error('cut');
  const stream = Readable.from(
    (function* cut(): Generator<Buffer> {
      yield blob.subarray(0, PACKET);
      throw failure;
    })(),
    { objectMode: false },
  );
  for (const read of toAll(stream, 2).map((taker) => buffer(taker))) await assert.rejects(read, failure);
});

test('each taker gets its own ranges of one read, in order', async () => {
  const read = [
    { offset: 100, length: 1_000_000 },
    { offset: 2_000_000, length: 3_000_000 },
  ];
  const takers = [
    [
      { offset: 100, length: 10 },
      { offset: 900_000, length: 100_100 },
      { offset: 2_000_000, length: 1 },
    ],
    [{ offset: 2_500_000, length: 2_500_000 }],
    [],
  ];
  const pieces = Readable.from(
    read.map(({ offset, length }) => blob.subarray(offset, offset + length)),
    { objectMode: false },
  );
  const streams = fanOut(pieces, { ranges: read, takers, onDeserted: () => undefined });
  const taken = await Promise.all(streams.map((stream) => buffer(stream)));
  for (const [index, ranges] of takers.entries()) {
    const expected = Buffer.concat(ranges.map(({ offset, length }) => blob.subarray(offset, offset + length)));
    assert.ok(taken[index]?.equals(expected), `taker ${index}`);
  }
});

test('who takes the end of a blob gets what is too much, and can refuse it', async () => {
  const pieces = Readable.from([Buffer.from('whole'), Buffer.from(' and more')], { objectMode: false });
  const whole = { offset: 0, length: 5 };
  const [stream] = fanOut(pieces, { ranges: [whole], takers: [[whole]], onDeserted: () => undefined }) as [Readable];
  assert.equal((await buffer(stream)).toString(), 'whole and more');
});
