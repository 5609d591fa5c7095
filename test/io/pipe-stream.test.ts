import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { constants, openSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { test, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { PipeStream } from '../../src/io/pipe-stream.ts';
import { giveBack, keepBytes, SLAB_BYTES, takeSlab } from '../../src/io/slabs.ts';
import { spoilFreeSlabs } from '../support/free-slabs.ts';
import { makeNamedPipe } from '../support/named-pipe.ts';

const timeout = 30_000;

async function openPipe(t: TestContext): Promise<{ stream: PipeStream; writer: FileHandle }> {
  const path = await makeNamedPipe(t);
  const stream = new PipeStream(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  t.after(() => stream.destroy());
  return { stream, writer: await open(path, 'w') };
}

async function write({ writer, bytes }: { writer: FileHandle; bytes: Buffer }): Promise<void> {
  await writer.writeFile(bytes);
  await writer.close();
}

for (const [what, size] of Object.entries({
  nothing: 0,
  'less than a slab': 1000,
  'full slabs': 4 * SLAB_BYTES,
  'full slabs and a byte': 20 * SLAB_BYTES + 1,
})) {
  test(
    `a reader that is slow gets what went into a pipe, in memory that is used again: ${what}`,
    { timeout },
    async (t) => {
      spoilFreeSlabs(t);
      const { stream, writer } = await openPipe(t);
      const bytes = randomBytes(size);
      const writing = write({ writer, bytes });
      const read: Buffer[] = [];
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        for (let turns = 0; turns < 5; turns += 1) await turn();
        read.push(Buffer.from(chunk));
        giveBack(chunk);
      }
      await writing;
      assert.ok(Buffer.concat(read).equals(bytes));
    },
  );
}

test(
  'as long as more comes, slabs are filled before they are handed on, and few serve for all',
  { timeout },
  async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { stream, writer } = await openPipe(t);
    const writing = write({ writer, bytes: randomBytes(64 * SLAB_BYTES) });
    const slabs = new Set<ArrayBufferLike>();
    let chunks = 0;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      chunks += 1;
      slabs.add(chunk.buffer);
      giveBack(chunk);
    }
    await writing;
    assert.equal(chunks, 64);
    assert.ok(slabs.size <= 4, `${slabs.size} slabs`);
  },
);

test('a pipe is not read on while nobody reads the stream', { timeout }, async (t) => {
  const { stream, writer } = await openPipe(t);
  const sent = { bytes: 0 };
  const writing = (async (): Promise<void> => {
    try {
      for (;;) sent.bytes += (await writer.write(Buffer.alloc(64 * 1024))).bytesWritten;
    } catch {
      await writer.close();
    }
  })();
  let before = -1;
  // Until a hundred turns brought nothing more.
  while (before !== sent.bytes || sent.bytes === 0) {
    before = sent.bytes;
    for (let turns = 0; turns < 100; turns += 1) await turn();
  }
  assert.ok(sent.bytes <= 4 * SLAB_BYTES, `${sent.bytes} bytes`);
  stream.destroy();
  await writing;
});

test('bytes that come one by one are not waited for until a slab is full', { timeout }, async (t) => {
  const { stream, writer } = await openPipe(t);
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  for (const text of ['a', 'b', 'c']) {
    await writer.write(text);
    assert.equal(String((await chunks.next()).value), text);
  }
  await writer.close();
  assert.equal((await chunks.next()).done, true);
});

test('a slab of which some bytes are kept is not used again', () => {
  const slab = takeSlab();
  keepBytes(slab.subarray(0, 10));
  giveBack(slab);
  const others = Array.from({ length: 64 }, takeSlab);
  assert.ok(others.every(({ buffer }) => buffer !== slab.buffer));
  for (const other of others) giveBack(other);
});
