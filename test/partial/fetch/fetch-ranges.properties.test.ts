import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { test } from 'node:test';
import fc from 'fast-check';
import { isAbort } from '../../../src/errors/imgcopy-error.ts';
import { MemoryBudget } from '../../../src/io/memory.ts';
import { Semaphore } from '../../../src/io/semaphore.ts';
import { fetchRanges } from '../../../src/partial/fetch/fetch-ranges.ts';
import type { ImageSourceChunk, BlobRange } from '../../../src/contract/blob-chunk-accessor.ts';
import { BadPartialRequestError, PartialBlobUnavailableError } from '../../../src/contract/errors.ts';
import { randomBytes } from '../../support/images.ts';
import { infoOf } from '../../support/registry-transport.ts';
import { MemoryAccessor, type MemoryAnswer } from '../../support/memory-accessor.ts';

const MB = 1_000_000;
const blob = randomBytes('blob', 40 * MB);
const info = infoOf(blob);

/** How a server takes many ranges, and one. */
interface Ladder {
  readonly many: 'ranges' | 'whole' | 206 | 400 | 416 | 501 | 'few-only';
  readonly one: 'ranges' | 'whole' | 416;
}

const ladders: fc.Arbitrary<Ladder> = fc.record({
  many: fc.constantFrom<Ladder['many'][]>('ranges', 'ranges', 'whole', 206, 400, 416, 501, 'few-only'),
  one: fc.constantFrom<Ladder['one'][]>('ranges', 'ranges', 'ranges', 'ranges', 'whole', 416),
});

/** From a few bytes to more than a segment, far apart or near. */
const ranges: fc.Arbitrary<readonly BlobRange[]> = fc
  .array(
    fc.record({
      gap: fc.oneof(fc.nat(300), fc.nat(40_000), fc.nat(3 * MB)),
      length: fc.oneof(fc.integer({ min: 1, max: 500 }), fc.nat(300_000), fc.constantFrom(2 * 1024 * 1024, 9 * MB)),
    }),
    { minLength: 1, maxLength: 60 },
  )
  .map((steps) => {
    let end = 0;
    return steps.flatMap(({ gap, length }) => {
      const offset = end + gap;
      if (length === 0 || offset + length > blob.length) return [];
      end = offset + length;
      return [{ offset, length }];
    });
  });

const budgets = fc.constantFrom(1, 100_000, 2 * 1024 * 1024, 3 * MB, 5 * MB, 48 * MB);

function answerOf({ many, one }: Ladder, chunks: readonly ImageSourceChunk[]): MemoryAnswer {
  const answer = chunks.length === 1 ? one : many === 'few-only' ? (chunks.length > 16 ? 400 : 'ranges') : many;
  return typeof answer === 'number' ? new BadPartialRequestError(answer, '') : answer;
}

function bytesOf(wanted: readonly BlobRange[]): Buffer {
  return Buffer.concat(wanted.map(({ offset, length }) => blob.subarray(offset, offset + length)));
}

/** Requests whose ranges are in order, inside the blob, and few enough. */
function assertPolite({ requests }: MemoryAccessor): void {
  for (const chunks of requests) {
    let end = 0;
    for (const { offset, length = NaN } of chunks) {
      assert.ok(offset >= end && length > 0 && offset + length <= blob.length);
      end = offset + length;
    }
    assert.ok(chunks.length <= 200);
  }
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await nextTurn();
}

test('exactly the wanted bytes come, or an error, whatever the server refuses and the budget is; nothing is left', async () => {
  const latencies = fc.infiniteStream(fc.nat(3));
  await fc.assert(
    fc.asyncProperty(ranges, budgets, ladders, latencies, async (wanted, budget, ladder, latency) => {
      const memory = new MemoryBudget(budget).openAccount();
      const accessor = new MemoryAccessor(blob, {
        answer: async (chunks) => {
          await turns(latency.next().value ?? 0);
          return answerOf(ladder, chunks);
        },
      });
      const pieces: Buffer[] = [];
      try {
        for await (const piece of fetchRanges(accessor, info, wanted, { memory })) pieces.push(piece);
        assert.ok(Buffer.concat(pieces).equals(bytesOf(wanted)));
      } catch (error) {
        assert.ok(error instanceof PartialBlobUnavailableError && ladder.one === 416, String(error));
      }
      await turns(2);
      assert.equal(accessor.open, 0, 'no stream is left open');
      assertPolite(accessor);
      assert.equal(memory.held, 0, 'all memory was given back');
    }),
    { numRuns: 60 },
  );
});

test('a failure or an abort at any point ends it with that error, and nothing is left', async () => {
  const failure = new Error('the disk is on fire');
  const ends = fc.record({
    how: fc.constantFrom('request fails', 'answer is cut', 'abort', 'consumer leaves'),
    at: fc.nat(12),
    bytes: fc.nat(3 * MB),
  });
  await fc.assert(
    fc.asyncProperty(ranges, budgets, ends, fc.infiniteStream(fc.nat(3)), async (wanted, budget, end, latency) => {
      const memory = new MemoryBudget(budget).openAccount();
      const controller = new AbortController();
      let asked = 0;
      const accessor = new MemoryAccessor(blob, {
        answer: async () => {
          const isIt = asked++ === end.at;
          if (isIt && end.how === 'abort') controller.abort(failure);
          await turns(latency.next().value ?? 0);
          if (isIt && end.how === 'request fails') return failure;
          return isIt && end.how === 'answer is cut' ? { cutAfter: end.bytes, error: failure } : 'ranges';
        },
      });
      const pieces: Buffer[] = [];
      try {
        for await (const piece of fetchRanges(accessor, info, wanted, { memory, signal: controller.signal })) {
          pieces.push(piece);
          if (end.how === 'consumer leaves' && pieces.length > end.at) break;
        }
      } catch (error) {
        assert.ok(error === failure || (end.how === 'abort' && isAbort(error)), String(error));
      }
      const found = Buffer.concat(pieces);
      assert.ok(found.equals(bytesOf(wanted).subarray(0, found.length)), 'what came is right');
      await turns(2);
      assert.equal(accessor.open, 0, 'no stream is left open');
      assert.equal(memory.held, 0, 'all memory was given back');
    }),
    { numRuns: 60 },
  );
});

test('many blobs at once share a budget and the places at a host, however their consumers wait for each other', async () => {
  const places = fc.integer({ min: 1, max: 3 });
  const consumers = fc.array(fc.record({ wanted: ranges, first: fc.nat(5) }), { minLength: 2, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(consumers, budgets, places, async (blobs, budget, limit) => {
      const budgetOfAll = new MemoryBudget(budget);
      const host = new Semaphore(limit);
      const fetches = blobs.map(({ wanted, first }) => {
        const accessor = new HostAccessor(host);
        const memory = budgetOfAll.openAccount();
        return { wanted, first, pieces: [] as Buffer[], bytes: fetchRanges(accessor, info, wanted, { memory }) };
      });
      // Each takes some of its bytes, then waits for all that come after it.
      for (const { bytes, first, pieces } of fetches) {
        for (let step = await bytes.next(); !step.done; step = await bytes.next()) {
          pieces.push(step.value);
          if (pieces.length > first) break;
        }
      }
      for (const { bytes, pieces, wanted } of fetches.toReversed()) {
        for await (const piece of bytes) pieces.push(piece);
        assert.ok(Buffer.concat(pieces).equals(bytesOf(wanted)));
      }
      assert.equal(budgetOfAll.used, 0, 'all memory was given back');
      assert.equal(host.used, 0);
    }),
    { numRuns: 25 },
  );
});

/** A blob at a host that lets in few requests at a time. As `HostGates` has it, an answer of more than 4 MiB holds no place. */
class HostAccessor extends MemoryAccessor {
  readonly #host: Semaphore;

  constructor(host: Semaphore) {
    super(blob);
    this.#host = host;
  }

  override async getBlobAt(
    ...[blobInfo, chunks, options]: Parameters<MemoryAccessor['getBlobAt']>
  ): ReturnType<MemoryAccessor['getBlobAt']> {
    const release = await this.#host.acquire({ signal: options?.signal });
    if (chunks.reduce((sum, { length = 0 }) => sum + length, 0) > 4 * 1024 * 1024) release();
    const answer = await super.getBlobAt(blobInfo, chunks, options).catch((error: unknown) => {
      release();
      throw error;
    });
    if (answer.kind === 'ranges') return { ...answer, readers: releasing(answer.readers, release) };
    release();
    return answer;
  }
}

async function* releasing<T>(items: AsyncIterable<T>, release: () => void): AsyncGenerator<T> {
  try {
    yield* items;
  } finally {
    release();
  }
}
