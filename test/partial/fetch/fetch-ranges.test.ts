import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import { RangeBodyError } from '../../../src/http/ranges/range-errors.ts';
import { MemoryBudget } from '../../../src/io/memory.ts';
import { fetchRanges } from '../../../src/partial/fetch/fetch-ranges.ts';
import { paceOf } from '../../../src/partial/fetch/source-pace.ts';
import type { BlobChunkAccessor, BlobRange } from '../../../src/contract/blob-chunk-accessor.ts';
import { BadPartialRequestError, PartialBlobUnavailableError } from '../../../src/contract/errors.ts';
import { randomBytes } from '../../support/images.ts';
import {
  MemoryAccessor,
  openRangeSupport,
  type MemoryAccessorOptions,
  type MemoryAnswer,
} from '../../support/memory-accessor.ts';
import { infoOf } from '../../support/registry-transport.ts';

const MiB = 1024 * 1024;
const blob = randomBytes('blob', 40 * MiB);
const info = infoOf(blob);

/** Far apart, so that each is asked for by itself. */
const scattered = rangesEvery(100_000, 40);

function rangesEvery(step: number, count: number, length = 10): readonly BlobRange[] {
  return Array.from({ length: count }, (_, index) => ({ offset: index * step, length }));
}

function bytesOf(ranges: readonly BlobRange[]): Buffer {
  return Buffer.concat(ranges.map(({ offset, length }) => blob.subarray(offset, offset + length)));
}

async function fetchAll(accessor: BlobChunkAccessor, ranges: readonly BlobRange[], budget = 48 * MiB): Promise<Buffer> {
  const memory = new MemoryBudget(budget).openAccount();
  const pieces: Buffer[] = [];
  for await (const piece of fetchRanges(accessor, info, ranges, { memory })) pieces.push(piece);
  assert.equal(memory.held, 0, 'all memory was given back');
  return Buffer.concat(pieces);
}

/** How many chunks each request had. */
function counts({ requests }: MemoryAccessor): readonly number[] {
  return requests.map((chunks) => chunks.length);
}

/** Answers requests for several ranges in a way, those for one with that. */
function refusing(refusal: (chunks: number) => MemoryAnswer, options: MemoryAccessorOptions = {}): MemoryAccessor {
  return new MemoryAccessor(blob, { ...options, answer: ({ length }) => (length > 1 ? refusal(length) : 'ranges') });
}

test('many ranges are one request, where that is answered', async () => {
  const accessor = new MemoryAccessor(blob);
  assert.ok((await fetchAll(accessor, scattered)).equals(bytesOf(scattered)));
  assert.deepEqual(counts(accessor), [40]);
  assert.deepEqual([accessor.rangeSupport.ranges, accessor.rangeSupport.multiRange], [true, true]);
});

for (const [name, refusal] of [
  ['200', 'whole'],
  ['206 with one part', new BadPartialRequestError(206, 'with one part for 40 ranges')],
  ['416', new BadPartialRequestError(416, 'Range Not Satisfiable')],
  ['501', new BadPartialRequestError(501, 'Not Implemented')],
  ['bytes that were not asked for', new RangeBodyError('ERR_WRONG_RANGE', 'other bytes')],
  ['a multipart body that cannot be read', new RangeBodyError('ERR_BAD_MULTIPART', 'no boundary')],
  [
    'fewer parts than ranges',
    new RangeBodyError('ERR_SHORT_RANGE', 'a part is missing', { cause: new BadPartialRequestError(206, '') }),
  ],
] as const) {
  test(`many ranges that are answered by ${name} are asked for one by one, now and for every later blob (behaviour 10)`, async () => {
    const accessor = refusing(() => refusal);
    assert.ok((await fetchAll(accessor, scattered)).equals(bytesOf(scattered)));
    assert.deepEqual(counts(accessor), [40, ...scattered.map(() => 1)]);
    assert.equal(accessor.rangeSupport.multiRange, false);
    assert.equal(accessor.open, 0, 'the whole blob is not read');
    await fetchAll(accessor, scattered.slice(0, 2));
    assert.deepEqual(counts(accessor).slice(41), [1, 1]);
  });
}

test('many ranges that meet 400 are asked for in fewer and larger ones first', async () => {
  const tooMany = new BadPartialRequestError(400, 'Bad Request');
  const accessor = refusing((count) => (count > 16 ? tooMany : 'ranges'));
  assert.ok((await fetchAll(accessor, scattered)).equals(bytesOf(scattered)));
  assert.deepEqual(counts(accessor), [40, 16, 16, 8]);
  assert.equal(accessor.rangeSupport.multiRange, true);
  const never = refusing(() => tooMany);
  assert.ok((await fetchAll(never, scattered)).equals(bytesOf(scattered)));
  assert.deepEqual(counts(never), [40, 16, ...scattered.map(() => 1)]);
});

test('ranges that are asked for one by one are joined where they are near', async () => {
  const accessor = new MemoryAccessor(blob, { rangeSupport: { ranges: true, multiRange: false } });
  const near = [...rangesEvery(30_000, 10), { offset: 400_000, length: 10 }];
  assert.ok((await fetchAll(accessor, near)).equals(bytesOf(near)));
  assert.deepEqual(accessor.requests, [[{ offset: 0, length: 270_010 }], [{ offset: 400_000, length: 10 }]]);
});

test('an answer that is cut again and again is an error, not a reason to ask in another way', async () => {
  const cut = new RangeBodyError('ERR_SHORT_RANGE', 'the answer broke off');
  const accessor = refusing(() => ({ cutAfter: 100, error: cut }));
  await assert.rejects(fetchAll(accessor, scattered), (error) => error === cut);
  assert.deepEqual(counts(accessor), [40]);
});

test('200 to the first range is the download: one request, and no byte after the last that is wanted', async () => {
  const accessor = new MemoryAccessor(blob, { answer: () => 'whole' });
  const wanted = [
    { offset: 5, length: 3 * MiB },
    { offset: 10 * MiB, length: 7 },
  ];
  assert.ok((await fetchAll(accessor, [{ offset: 5, length: 3 * MiB }])).equals(blob.subarray(5, 5 + 3 * MiB)));
  assert.equal(accessor.requests.length, 1);
  assert.equal(accessor.rangeSupport.ranges, false);
  assert.ok((await fetchAll(accessor, wanted)).equals(bytesOf(wanted)));
  await nextTurn();
  assert.equal(accessor.open, 0);
});

test('a server that answers no range at all leaves the blob to the plain way', async () => {
  for (const status of [400, 416, 501]) {
    const accessor = new MemoryAccessor(blob, { answer: () => new BadPartialRequestError(status, '') });
    await assert.rejects(fetchAll(accessor, scattered), PartialBlobUnavailableError);
    // 416 may be about this one blob.
    assert.equal(accessor.rangeSupport.ranges, status === 416 ? undefined : false);
    assert.ok(accessor.requests.length <= 3);
  }
});

for (const status of [400, 403, 416, 500, 501]) {
  test(`many ranges that meet ${status} lead to single ones, and these to the whole blob`, async () => {
    const refusal = new BadPartialRequestError(status, '');
    const accessor = new MemoryAccessor(blob, { answer: () => refusal, givesWhole: true });
    assert.ok((await fetchAll(accessor, scattered)).equals(bytesOf(scattered)));
    assert.deepEqual([counts(accessor).at(0), counts(accessor).at(-1), accessor.wholes], [40, 1, 1]);
    await nextTurn();
    assert.equal(accessor.open, 0);
  });
}

test('a rest that is refused after a part of it came is taken from the whole blob, and nothing comes twice', async (t) => {
  // On a clock that makes every source slow, many ranges are in flight when one of them is refused.
  let seconds = 0;
  t.mock.method(process, 'hrtime', () => [(seconds += 1), 0]);
  const cut = new RangeBodyError('ERR_SHORT_RANGE', '', { cause: new BadPartialRequestError(403, '') });
  for (const budget of [1, 48 * MiB]) {
    const accessor = new MemoryAccessor(blob, {
      rangeSupport: { ranges: true },
      answer: ([chunk]) => ((chunk?.offset ?? 0) < 16 * MiB ? 'ranges' : { cutAfter: 200_000, error: cut }),
      givesWhole: true,
      latencyMs: 50,
    });
    assert.ok(
      (await fetchAll(accessor, [{ offset: 5, length: 35 * MiB }], budget)).equals(blob.subarray(5, 5 + 35 * MiB)),
    );
    assert.equal(accessor.wholes, 1);
  }
});

test('where it is known that no ranges are answered, the whole blob is read at once', async () => {
  const accessor = new MemoryAccessor(blob, { rangeSupport: { ranges: false }, givesWhole: true });
  assert.ok((await fetchAll(accessor, scattered)).equals(bytesOf(scattered)));
  assert.deepEqual([accessor.requests, accessor.wholes], [[], 1]);
});

test('nothing is asked for ahead of the first answer, and a window of segments after it', async () => {
  const answers: PromiseWithResolvers<MemoryAnswer>[] = [];
  const accessor = new MemoryAccessor(blob, {
    answer: () => {
      const answer = Promise.withResolvers<MemoryAnswer>();
      answers.push(answer);
      return answer.promise;
    },
    latencyMs: 50,
  });
  const bytes = fetchRanges(accessor, info, [{ offset: 0, length: 40 * MiB }], {
    memory: new MemoryBudget(48 * MiB).openAccount(),
  });
  const first = bytes.next();
  await nextTurn();
  assert.equal(answers.length, 1);
  answers[0]?.resolve('ranges');
  await first;
  await nextTurn();
  assert.equal(answers.length, 1 + 8);
  const [{ length } = { length: 0 }] = accessor.requests[0] ?? [];
  assert.deepEqual(accessor.requests[8], [{ offset: 8 * length!, length }]);
  const left = bytes.return(undefined);
  for (const answer of answers) answer.resolve('ranges');
  await left;
});

test('a source that is near and fast is read as one stream after its first range', async (t) => {
  // On a clock that stands still, every source is fast.
  t.mock.method(process, 'hrtime', () => [0, 0]);
  const accessor = new MemoryAccessor(blob);
  assert.ok((await fetchAll(accessor, [{ offset: 0, length: blob.length }])).equals(blob));
  assert.deepEqual(accessor.requests, [[{ offset: 0, length: MiB }], [{ offset: MiB, length: blob.length - MiB }]]);
});

test('four blobs that begin at once at a near source take two requests each, although the first answers are seen late', async (t) => {
  // On a clock that makes every answer late. The event loop does not wait, and an earlier request was fast.
  let seconds = 0;
  t.mock.method(process, 'hrtime', () => [(seconds += 1), 0]);
  const accessor = new MemoryAccessor(blob, { rangeSupport: { roundTripMs: 5 } });
  const whole = [{ offset: 0, length: blob.length }];
  const read = await Promise.all([1, 2, 3, 4].map(() => fetchAll(accessor, whole)));
  for (const bytes of read) assert.ok(bytes.equals(blob));
  assert.ok(accessor.requests.length <= 8, `${accessor.requests.length} requests`);
  const before = accessor.requests.length;
  await fetchAll(accessor, whole);
  assert.equal(accessor.requests.length, before + 1, 'what these have shown holds for the next blob');
});

test('a stream that comes slowly to an event loop with nothing to do is left for ranges, and nothing comes twice', async () => {
  let opened = 0;
  const accessor: BlobChunkAccessor = {
    rangeSupport: openRangeSupport({ ranges: true, multiRange: false }),
    getBlobAt: (_info, [chunk]) => {
      const { offset, length = 0 } = chunk ?? { offset: 0 };
      opened += 1;
      const readers = [Readable.from(opened === 1 ? slowly(offset) : [blob.subarray(offset, offset + length)])];
      return Promise.resolve({ kind: 'ranges', readers: Readable.from(readers) });
    },
  };
  async function* slowly(from: number): AsyncGenerator<Buffer> {
    for (let offset = from; offset < blob.length; offset += 64 * 1024) {
      await delay(20);
      yield blob.subarray(offset, offset + 64 * 1024);
    }
  }
  paceOf(accessor.rangeSupport).isFast = true;
  assert.ok((await fetchAll(accessor, [{ offset: 0, length: blob.length }])).equals(blob));
  assert.ok(opened > 8, `${opened} requests`);
});

test('of many ranges as well, one request finds out whether they are answered', async () => {
  const sparse = rangesEvery(20_000, 800, 300);
  const accessor = refusing(() => 'whole', { rangeSupport: { ranges: true } });
  await fetchAll(accessor, sparse);
  assert.equal(counts(accessor).filter((count) => count > 1).length, 1);
});

test('where the budget has no room a long range is passed on as it comes, others in small parts', async () => {
  const long = new MemoryAccessor(blob, { rangeSupport: { ranges: true } });
  assert.ok((await fetchAll(long, [{ offset: 0, length: 34 * MiB }], 1)).equals(blob.subarray(0, 34 * MiB)));
  assert.deepEqual(
    long.requests.map(([chunk]) => chunk?.length),
    [16 * MiB, 16 * MiB, ...Array.from({ length: 8 }, () => 256 * 1024)],
  );
});

test('a source that is at hand is read as one stream, piece by piece', async () => {
  const accessor = new MemoryAccessor(blob, { rangeSupport: { isLocal: true, ranges: true, multiRange: true } });
  const wanted = [
    { offset: 0, length: 30 * MiB },
    ...rangesEvery(10, 5, 3).map((at) => ({ ...at, offset: at.offset + 31 * MiB })),
  ];
  assert.ok((await fetchAll(accessor, wanted, 1)).equals(bytesOf(wanted)));
  assert.deepEqual(accessor.requests, [wanted]);
});

test('ranges of no length, and no ranges, need no request', async () => {
  const accessor = new MemoryAccessor(blob);
  assert.equal((await fetchAll(accessor, [])).length, 0);
  assert.equal((await fetchAll(accessor, [{ offset: 7, length: 0 }])).length, 0);
  assert.equal(accessor.requests.length, 0);
});
