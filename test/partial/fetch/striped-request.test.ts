import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import { RangeBodyError } from '../../../src/http/ranges/range-errors.ts';
import { MemoryBudget } from '../../../src/io/memory.ts';
import { fetchRanges } from '../../../src/partial/fetch/fetch-ranges.ts';
import type { BlobChunkAccessor, ImageSourceChunk } from '../../../src/contract/blob-chunk-accessor.ts';
import { BadPartialRequestError } from '../../../src/contract/errors.ts';
import { randomBytes } from '../../support/images.ts';
import { MemoryAccessor, openRangeSupport, type MemoryAccessorOptions } from '../../support/memory-accessor.ts';
import { infoOf } from '../../support/registry-transport.ts';

const MiB = 1024 * 1024;
const BUDGET = 24 * MiB;
/** Some ends of pieces and stripes fall on odd bytes. */
const blob = randomBytes('blob', 256 * MiB + 7);

async function fetchBlob(options: MemoryAccessorOptions, budget = BUDGET): Promise<MemoryAccessor> {
  // Later than a source that is near: that is read as one stream.
  const accessor = new MemoryAccessor(blob, { latencyMs: 50, ...options });
  const memory = new MemoryBudget(budget).openAccount();
  let offset = 0;
  for await (const piece of fetchRanges(accessor, infoOf(blob), [{ offset, length: blob.length }], { memory })) {
    assert.ok(piece.equals(blob.subarray(offset, offset + piece.length)), `other bytes at ${offset}`);
    offset += piece.length;
    assert.ok(memory.held <= budget);
  }
  assert.equal(offset, blob.length);
  assert.deepEqual([memory.held, accessor.open], [0, 0]);
  return accessor;
}

const multiRange = { ranges: true, multiRange: true };

test('a long range is read by few requests, each for many pieces, where that is known to be answered', async () => {
  const { requests } = await fetchBlob({ rangeSupport: multiRange });
  assert.equal(requests.length, 17);
  for (const chunks of requests.slice(0, -1)) assert.ok(chunks.length > 4);
});

test('two bytes are asked for to find out whether many ranges are answered, beside the first ranges', async () => {
  const { requests, rangeSupport } = await fetchBlob({});
  assert.equal(rangeSupport.multiRange, true);
  assert.deepEqual(
    requests.filter((chunks) => chunks.length > 1 && chunks.every(({ length }) => length === 1)).length,
    1,
  );
  assert.ok(requests.length < 80, `${requests.length} requests`);
});

test('where the two bytes are refused, ranges are asked for one by one', async () => {
  const { requests, rangeSupport } = await fetchBlob({ answer: ({ length }) => (length > 1 ? 'whole' : 'ranges') });
  assert.equal(rangeSupport.multiRange, false);
  assert.equal(requests.filter(({ length }) => length > 1).length, 1);
});

test('there are as many stripes as there is memory for, and no fewer than four', async () => {
  const { requests } = await fetchBlob({ rangeSupport: multiRange }, 5 * MiB);
  assert.equal(requests.filter(({ length }) => length > 1).length, 15);
  const small = await fetchBlob({ rangeSupport: multiRange }, 3 * MiB);
  assert.ok(small.requests.every(({ length }) => length === 1));
});

for (const [name, refusal] of [
  ['200', 'whole'],
  ['416', new BadPartialRequestError(416, 'Range Not Satisfiable')],
  ['400', new BadPartialRequestError(400, 'Bad Request')],
  ['bytes that were not asked for', new RangeBodyError('ERR_WRONG_RANGE', 'other bytes')],
] as const) {
  test(`a stripe that is answered by ${name} after all leads to single ranges, and nothing comes twice`, async () => {
    let stripes = 0;
    const { requests } = await fetchBlob({
      rangeSupport: multiRange,
      answer: ({ length }) => (length > 1 && (stripes += 1) > 3 ? refusal : 'ranges'),
    });
    assert.ok(requests.slice(-100).every(({ length }) => length === 1));
  });
}

test('a near source whose first answers come late is read in stripes at first, and then as one stream', async () => {
  let answers = 0;
  const answer = async (): Promise<'ranges'> => {
    answers += 1;
    if (answers < 5) await delay(50);
    return 'ranges';
  };
  const { requests } = await fetchBlob({ latencyMs: 0, rangeSupport: multiRange, answer });
  assert.ok((requests[0]?.length ?? 0) > 1, 'stripes at first');
  const [last] = requests.at(-1) ?? [];
  assert.equal(requests.at(-1)?.length, 1);
  assert.ok((last?.length ?? 0) > 16 * MiB, `one stream in the end, of ${last?.length} bytes`);
});

test('a stripe that is cut for good fails the blob', async () => {
  const cut = new RangeBodyError('ERR_SHORT_RANGE', 'the answer broke off');
  const answer = (chunks: readonly ImageSourceChunk[]): 'ranges' | { cutAfter: number; error: Error } =>
    chunks[0]?.offset === MiB ? { cutAfter: 3 * MiB, error: cut } : 'ranges';
  await assert.rejects(fetchBlob({ rangeSupport: multiRange, answer }), (error) => error === cut);
});

test('who leaves ends all stripes', async () => {
  const accessor = new MemoryAccessor(blob, { latencyMs: 50, rangeSupport: multiRange });
  const memory = new MemoryBudget(BUDGET).openAccount();
  const bytes = fetchRanges(accessor, infoOf(blob), [{ offset: 0, length: blob.length }], { memory });
  await bytes.next();
  await bytes.return(undefined);
  await nextTurn();
  assert.deepEqual([memory.held, accessor.open], [0, 0]);
  assert.equal(accessor.requests.length, 8);
});

test('10 GB are at most 1,000 requests', async () => {
  const packet = Buffer.alloc(512 * 1024);
  let requests = 0;
  const accessor: BlobChunkAccessor = {
    rangeSupport: openRangeSupport(),
    getBlobAt: async (_info, chunks) => {
      requests += 1;
      await delay(50);
      return { kind: 'ranges', readers: readers(chunks) };
    },
  };
  function* packets(length: number): Generator<Buffer> {
    for (let left = length; left > 0; left -= packet.length) yield packet.subarray(0, left);
  }
  async function* readers(chunks: readonly ImageSourceChunk[]): AsyncGenerator<Readable> {
    for (const { length = 0 } of chunks) yield Readable.from(packets(length), { objectMode: false });
  }
  const size = 10e9;
  const memory = new MemoryBudget(BUDGET).openAccount();
  let bytes = 0;
  const info = { ...infoOf(packet), size };
  for await (const piece of fetchRanges(accessor, info, [{ offset: 0, length: size }], { memory }))
    bytes += piece.length;
  assert.equal(bytes, size);
  assert.ok(requests <= 1000, `${requests} requests`);
  assert.ok(requests > 100, 'and not one stream');
});
