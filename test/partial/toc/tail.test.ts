import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../../src/digest/digest.ts';
import { assertTiling } from '../../../src/partial/plan/segments.ts';
import { locateTail, readTail, type ChunkedTail, type ReadTailOptions } from '../../../src/partial/toc/tail.ts';
import type { BlobInfo } from '../../../src/contract/blob-info.ts';
import { BadPartialRequestError } from '../../../src/contract/errors.ts';
import { eStargzLayer, zstdChunkedLayer, type ChunkedLayer, type LayerFile } from '../../support/chunked-layers.ts';
import { randomBytes } from '../../support/images.ts';
import { MemoryAccessor } from '../../support/memory-accessor.ts';
import { tailOf } from '../../support/memory-accessor.ts';

const files: readonly LayerFile[] = [
  { name: 'app/', type: 'dir' },
  { name: 'app/empty', content: '' },
  { name: 'app/one', content: 'one' },
  { name: 'app/big', content: randomBytes('big', 2500) },
  { name: 'app/link', type: 'symlink', linkName: 'one' },
  { name: 'app/\u001b[31mred\u0007', content: 'escapes' },
  { name: 'app/ünï', content: 'not ASCII' },
];
const chunkBytes = 1000;

const layers: readonly { name: string; layer: ChunkedLayer; pieces: number }[] = [
  // Five gaps and six chunks, or a first member and six more.
  { name: 'zstd:chunked', layer: zstdChunkedLayer(files, { chunkBytes }), pieces: 11 },
  { name: 'zstd:chunked without a tar-split', layer: zstd('storage-1.43'), pieces: 11 },
  { name: 'zstd:chunked with the footer of 56 bytes', layer: zstd('storage-1.47'), pieces: 11 },
  { name: 'zstd:chunked in version 2', layer: zstd('version-2'), pieces: 11 },
  { name: "stargz-snapshotter's zstd:chunked", layer: zstd('stargz-snapshotter'), pieces: 7 },
  { name: 'eStargz', layer: eStargzLayer(files, { chunkBytes }), pieces: 7 },
];

function zstd(version: 'storage-1.43' | 'storage-1.47' | 'version-2' | 'stargz-snapshotter'): ChunkedLayer {
  return zstdChunkedLayer(files, { chunkBytes, version });
}

interface Reading {
  readonly tail: ChunkedTail | undefined;
  /** Length of each range asked for. */
  readonly lengths: readonly (number | undefined)[];
}

async function read(bytes: Buffer, info: BlobInfo, options?: ReadTailOptions): Promise<Reading> {
  const accessor = new MemoryAccessor(bytes);
  const tail = tailOf(await readTail(accessor, info, options));
  return { tail, lengths: accessor.requests.flat().map(({ length }) => length) };
}

function withoutAnnotations({ info }: ChunkedLayer): BlobInfo {
  return { ...info, annotations: undefined };
}

for (const { name, layer, pieces } of layers) {
  test(`${name} is taken apart, annotated or not`, async () => {
    const { bytes, tailOffset } = layer;
    const annotated = await read(bytes, layer.info);
    const found = await read(bytes, withoutAnnotations(layer));
    assert.deepEqual(annotated.tail?.pieces, found.tail?.pieces);
    assert.ok(found.tail !== undefined);
    assert.equal(found.tail.pieces.length, pieces);
    assert.equal(found.tail.tailOffset, tailOffset);
    assert.equal(found.tail.tailBytes.compare(bytes, tailOffset), 0);
    assertTiling(found.tail.pieces, tailOffset);
  });

  test(`${name} that is not annotated takes two ranges, the first of 72 bytes, or one with a good guess`, async () => {
    const size = layer.bytes.length - layer.tailOffset;
    const info = withoutAnnotations(layer);
    assert.deepEqual((await read(layer.bytes, info)).lengths, [72, size - 72]);
    const guessed = await read(layer.bytes, info, { tailGuess: size });
    assert.deepEqual(guessed.lengths, [Math.min(Math.ceil(size * 1.125), info.size)]);
    assert.equal(guessed.tail?.tailOffset, layer.tailOffset);
  });
}

test('annotated zstd:chunked takes one range, whatever the guess', async () => {
  const layer = zstdChunkedLayer(files);
  const { lengths, tail } = await read(layer.bytes, layer.info, { tailGuess: 1 });
  assert.deepEqual(lengths, [layer.bytes.length - layer.tailOffset]);
  assert.deepEqual(tail?.end, { offset: tail?.tailOffset, bytes: tail?.tailBytes });
  assert.deepEqual(locateTail(layer.info), {
    offset: layer.tailOffset,
    source: 'annotation',
    format: 'zstd:chunked',
  });
});

test('annotated eStargz is looked for at a guess, and keeps what else was read', async () => {
  const layer = eStargzLayer([...files, { name: 'app/large', content: randomBytes('large', 100_000) }]);
  const expected = { offset: layer.info.size - 32 * 1024, source: 'footer-needed', format: 'estargz' };
  assert.deepEqual(locateTail(layer.info), expected);
  const { lengths, tail } = await read(layer.bytes, layer.info);
  assert.deepEqual(lengths, [32 * 1024]);
  assert.equal(tail?.end.offset, expected.offset);
  assert.equal(tail.end.bytes.compare(layer.bytes, expected.offset), 0);
  assert.equal(tail.tailOffset, layer.tailOffset);
});

test('a plain layer is none, which takes its last 72 bytes to see', async () => {
  const bytes = randomBytes('plain', 5000);
  const info = { digest: digestOf(bytes), size: bytes.length };
  assert.deepEqual(await read(bytes, info), { tail: undefined, lengths: [72] });
  assert.deepEqual(locateTail(info), { offset: 4928, source: 'footer-needed', format: undefined });
});

test('a blob that is smaller than any footer is not asked for', async () => {
  const bytes = randomBytes('tiny', 47);
  assert.deepEqual((await read(bytes, { digest: digestOf(bytes), size: 47 })).lengths, []);
});

test('an error of the accessor is handed on as it is, and so is a refusal', async () => {
  const error = new Error('the network is gone');
  const { info, bytes } = zstdChunkedLayer(files);
  for (const answer of [error, { cutAfter: 10, error }])
    await assert.rejects(
      readTail(new MemoryAccessor(bytes, { answer: () => answer }), info),
      (thrown) => thrown === error,
    );
  const reason = new BadPartialRequestError(416, 'Range Not Satisfiable');
  const refusing = new MemoryAccessor(bytes, { answer: () => reason });
  assert.deepEqual(await readTail(refusing, info), { kind: 'refused', reason });
});

test('the signal reaches every request', async () => {
  const layer = zstdChunkedLayer(files);
  const accessor = new MemoryAccessor(layer.bytes);
  const { signal } = new AbortController();
  await readTail(accessor, withoutAnnotations(layer), { signal });
  assert.deepEqual(accessor.signals, [signal, signal]);
});
