import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { writeInBatches } from '../../src/local/write-in-batches.ts';

const pieces = Array.from({ length: 100 }, (_, index) => Buffer.alloc(10_000, index));
const whole = Buffer.concat(pieces);

function streamOf(content: Iterable<Buffer> | AsyncIterable<Buffer>): Readable {
  return Readable.from(content, { objectMode: false });
}

interface Collector {
  readonly batches: Buffer[];
  readonly write: (batch: readonly Uint8Array[]) => Promise<void>;
}

/** Collects what is written, one turn of the event loop a batch. */
function collector(): Collector {
  const batches: Buffer[] = [];
  const write = async (batch: readonly Uint8Array[]): Promise<void> => {
    await new Promise(setImmediate);
    batches.push(Buffer.concat(batch));
  };
  return { batches, write };
}

test('writes all pieces in order, several at once', async () => {
  const { batches, write } = collector();
  await writeInBatches(streamOf(pieces), write);
  assert.ok(Buffer.concat(batches).equals(whole));
  assert.ok(batches.length < pieces.length, `${batches.length} batches`);
});

test('holds no more than its limit', async () => {
  const { batches, write } = collector();
  await writeInBatches(streamOf(pieces), write);
  for (const batch of batches) assert.ok(batch.length < 1024 * 1024 + 10_000, `a batch of ${batch.length} bytes`);
});

test('writes what came before a failure, and throws that', async () => {
  const { batches, write } = collector();
  const failure = new Error('the line broke');
  async function* breaking(): AsyncGenerator<Buffer> {
    yield* pieces;
    throw failure;
  }
  await assert.rejects(writeInBatches(streamOf(breaking()), write), failure);
  assert.ok(Buffer.concat(batches).equals(whole));
});

test('writes what came before an abort', async () => {
  const { batches, write } = collector();
  const controller = new AbortController();
  const silent = new Readable({ read() {} });
  silent.push(pieces[0]);
  const writing = writeInBatches(
    silent,
    async (batch) => {
      await write(batch);
      controller.abort();
    },
    controller.signal,
  );
  await assert.rejects(writing, { name: 'AbortError' });
  assert.deepEqual(batches, [pieces[0]]);
  assert.equal(silent.destroyed, true);
});

for (const [when, content] of [
  ['while the stream goes on', pieces],
  ['on the last piece', pieces.slice(0, 1)],
] as const) {
  test(`a write that fails ${when} ends the stream`, async () => {
    const failure = new Error('the disk is full');
    const stream = streamOf(content);
    await assert.rejects(
      writeInBatches(stream, async () => {
        await new Promise(setImmediate);
        throw failure;
      }),
      failure,
    );
    assert.equal(stream.destroyed, true);
  });
}

test('a stream that is destroyed without an error did not end', async () => {
  const stream = new Readable({ read() {} });
  const writing = writeInBatches(stream, collector().write);
  stream.destroy();
  await assert.rejects(writing, { code: 'ERR_STREAM_PREMATURE_CLOSE' });
});
