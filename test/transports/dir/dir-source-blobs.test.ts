import assert from 'node:assert/strict';
import { rm, truncate } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { digestHex, digestOf } from '../../../src/digest/digest.ts';
import { openDirSource } from '../../../src/transports/dir/dir-source.ts';
import type { ImageSourceChunk } from '../../../src/contract/blob-chunk-accessor.ts';
import { readersOf } from '../../support/memory-accessor.ts';
import { requireTool, runTool } from '../../support/real-tools.ts';
import { blobInfo, temporaryDirectory, writeImage } from './image-directory.ts';
import { image, layer } from './source-image.ts';

async function chunksOf(directory: string, chunks: readonly ImageSourceChunk[]): Promise<Buffer[]> {
  const parts: Buffer[] = [];
  await using source = await openDirSource(directory);
  for await (const reader of readersOf(source.getBlobAt(blobInfo(layer), chunks))) {
    parts.push(await buffer(reader));
  }
  return parts;
}

test('reads blobs whole, side by side (behaviour 79)', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, image);
  await using source = await openDirSource(directory);
  const opened = await Promise.all([source.getBlob(blobInfo(layer)), source.getBlob(blobInfo(layer))]);
  for (const { stream, size } of opened) {
    assert.equal(size, layer.length);
    assert.ok((await buffer(stream)).equals(layer));
  }
});

test('names file and image of a blob that is missing', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, image);
  await rm(join(directory, digestHex(digestOf(layer))));
  await using source = await openDirSource(directory);
  await assert.rejects(source.getBlob(blobInfo(layer)), {
    code: 'ERR_BLOB_NOT_FOUND',
    kind: 'not-found',
    message: new RegExp(
      `image in dir:.*${basename(directory)} is missing blob ${digestOf(layer)}.*/${digestHex(digestOf(layer))}`,
    ),
    hint: /copy the image there again/,
  });
});

for (const [what, length] of [
  ['longer', layer.length + 1],
  ['shorter', 7],
] as const) {
  test(`refuses a ${what} blob before its first byte (behaviour 78)`, async (t) => {
    const directory = await temporaryDirectory(t);
    await writeImage(directory, image);
    await truncate(join(directory, digestHex(digestOf(layer))), length);
    await using source = await openDirSource(directory);
    const wrongSize = { kind: 'integrity', expected: `${layer.length} bytes`, found: `${length} bytes` };
    await assert.rejects(source.getBlob(blobInfo(layer)), wrongSize);
    await assert.rejects(chunksOf(directory, [{ offset: 0, length: 1 }]), wrongSize);
  });
}

test('fails when a blob becomes shorter while it is read (behaviour 8)', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, image);
  await using source = await openDirSource(directory);
  const { stream } = await source.getBlob(blobInfo(layer));
  await truncate(join(directory, digestHex(digestOf(layer))), 10);
  await assert.rejects(buffer(stream), { kind: 'integrity', message: /became shorter/ });
});

test('closes the file of a stream that is not read, and of one that is aborted', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, image);
  await using source = await openDirSource(directory);
  const controller = new AbortController();
  const unread = (await source.getBlob(blobInfo(layer))).stream;
  const aborted = (await source.getBlob(blobInfo(layer), { signal: controller.signal })).stream;
  const closed = [unread, aborted].map((stream) => new Promise<void>((resolve) => void stream.once('close', resolve)));
  unread.destroy();
  const failure = new Promise<Error>((resolve) => void aborted.once('error', resolve));
  controller.abort();
  assert.equal((await failure).name, 'AbortError');
  await Promise.all(closed);
});

test('gives exactly the chunks asked for, in order (behaviour 4)', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, image);
  const parts = await chunksOf(directory, [
    { offset: 0, length: 5 },
    { offset: 5, length: 600_000 },
    { offset: 999_990 },
  ]);
  assert.deepEqual(parts, [layer.subarray(0, 5), layer.subarray(5, 600_005), layer.subarray(999_990)]);
});

test('leaving the loop of chunks early destroys the reader that is left', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, image);
  const left: Readable[] = [];
  await using source = await openDirSource(directory);
  for await (const reader of readersOf(source.getBlobAt(blobInfo(layer), [{ offset: 0 }]))) {
    left.push(reader);
    break;
  }
  assert.deepEqual(
    left.map((reader) => reader.destroyed),
    [true],
  );
});

test('refuses chunks that the contract does not allow (behaviour 2)', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, image);
  await using source = await openDirSource(directory);
  const read = readersOf(source.getBlobAt(blobInfo(layer), [{ offset: 9 }, { offset: 10 }]));
  await assert.rejects(read.next(), { code: 'ERR_INVALID_CHUNKS' });
});

test('does not wait for the writer of a named pipe', async (t) => {
  const mkfifo = requireTool(t, 'mkfifo');
  if (mkfifo === undefined) return;
  const directory = await temporaryDirectory(t);
  await writeImage(directory, image);
  const path = join(directory, digestHex(digestOf(layer)));
  await rm(path);
  await runTool(mkfifo, [path]);
  await using source = await openDirSource(directory);
  await assert.rejects(source.getBlob(blobInfo(layer)), { code: 'ERR_NOT_A_FILE' });
});
