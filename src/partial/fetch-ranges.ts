import type { Readable } from 'node:stream';
import type { Release, Semaphore } from '../io/semaphore.ts';
import type { BlobChunkAccessor } from '../types/blob-chunk-accessor.ts';
import type { BlobInfo } from '../types/blob-info.ts';
import { BadPartialRequestError, PartialBlobUnavailableError, WholeBlobError } from '../types/errors.ts';
import { RangeQueue, type Batch, type BatchLimits } from './range-batches.ts';
import { RangeWindow } from './range-window.ts';
import { MULTI_RANGE_GAP_BYTES, SINGLE_RANGE_GAP_BYTES, type ByteRange } from './segments.ts';

export interface FetchRangesOptions {
  readonly memory: Semaphore;
  readonly signal?: AbortSignal | undefined;
}

/** What a request asks for at the most, in bytes: with 80 ms of round trip and 12 MB/s, two thirds of its time bytes move. */
const SEGMENT_BYTES = 2 * 1024 * 1024;

/** The ladder of requests: many ranges, then few and larger ones, then one a request. */
const MANY_RANGES = { bytes: SEGMENT_BYTES, ranges: 200, gap: MULTI_RANGE_GAP_BYTES };
const FEW_RANGES = { bytes: SEGMENT_BYTES, ranges: 16, gap: 4096 };
const ONE_RANGE = { bytes: SEGMENT_BYTES, ranges: 1, gap: SINGLE_RANGE_GAP_BYTES };

/**
 * Reads ranges of a blob, many at a time, and gives their bytes one range after the other. Memory is bounded: a request that reads ahead takes
 * its bytes from the budget, and where there is none left, what is needed next is passed on as it comes.
 *
 * @param ranges  sorted, not overlapping.
 * @throws PartialBlobUnavailableError when the server refuses single ranges, too.
 */
export async function* fetchRanges(
  accessor: BlobChunkAccessor,
  info: BlobInfo,
  ranges: readonly ByteRange[],
  options: FetchRangesOptions,
): AsyncGenerator<Buffer> {
  const leave = new AbortController();
  const signal = options.signal === undefined ? leave.signal : AbortSignal.any([options.signal, leave.signal]);
  const fetcher = new RangeFetcher(accessor, info, ranges, { memory: options.memory, signal });
  try {
    yield* fetcher.bytes();
  } finally {
    leave.abort();
    await fetcher.close();
  }
}

/** A request that reads ahead into memory. */
interface ReadAhead {
  readonly batch: Batch;
  readonly result: Promise<readonly Buffer[]>;
  readonly release: Release;
}

class RangeFetcher {
  readonly #accessor: BlobChunkAccessor;
  readonly #info: BlobInfo;
  readonly #queue: RangeQueue;
  readonly #memory: Semaphore;
  readonly #signal: AbortSignal;
  readonly #window = new RangeWindow();
  #ahead: ReadAhead[] = [];
  #few = false;

  constructor(
    accessor: BlobChunkAccessor,
    info: BlobInfo,
    ranges: readonly ByteRange[],
    options: { readonly memory: Semaphore; readonly signal: AbortSignal },
  ) {
    this.#accessor = accessor;
    this.#info = info;
    this.#queue = new RangeQueue(ranges);
    this.#memory = options.memory;
    this.#signal = options.signal;
  }

  async *bytes(): AsyncGenerator<Buffer> {
    for (;;) {
      this.#readAhead();
      const head = this.#ahead.shift();
      if (head === undefined && this.#queue.isEmpty) return;
      const batch = head?.batch ?? this.#takeStreamed();
      try {
        if (head === undefined) yield* this.#stream(batch);
        else yield* await head.result;
      } catch (error) {
        if (error instanceof WholeBlobError && batch.chunks.length === 1) {
          this.#accessor.rangeSupport.ranges = false;
          yield* this.#outOfWhole(error.stream, batch);
          return;
        }
        this.#stepDown(error, batch);
      } finally {
        head?.release();
      }
    }
  }

  async close(): Promise<void> {
    const ahead = this.#ahead.splice(0);
    await Promise.all(ahead.map(({ result, release }) => result.catch(dropWhole).finally(release)));
  }

  /** Asks for as much ahead as window and memory allow. Where ranges have not been answered yet, one request has to show it first. */
  #readAhead(): void {
    const { isLocal, ranges } = this.#accessor.rangeSupport;
    if (isLocal || this.#window.isFast || (ranges === undefined && !this.#queue.isEmpty && this.#ahead.length === 0))
      return;
    while (this.#ahead.length < this.#window.size) {
      const release = this.#memory.tryAcquire(SEGMENT_BYTES);
      if (release === undefined) return;
      const batch = this.#queue.take(this.#limits());
      if (batch === undefined) return release();
      const result = this.#collect(batch);
      result.catch(() => undefined);
      this.#ahead.push({ batch, result, release });
    }
  }

  /** What is passed on as it comes: a segment where others may follow in parallel, everything where one stream will do. */
  #takeStreamed(): Batch {
    const { isLocal } = this.#accessor.rangeSupport;
    const limits = isLocal || this.#window.isFast ? { ...this.#limits(), bytes: Infinity } : this.#limits();
    const batch = this.#queue.take(limits);
    if (batch === undefined) throw new Error('there is nothing left to fetch');
    return batch;
  }

  #limits(): BatchLimits {
    const { isLocal, multiRange } = this.#accessor.rangeSupport;
    if (isLocal) return { ...MANY_RANGES, ranges: Infinity, gap: 0 };
    if (multiRange === false) return ONE_RANGE;
    return this.#few ? FEW_RANGES : MANY_RANGES;
  }

  async #collect(batch: Batch): Promise<readonly Buffer[]> {
    const started = performance.now();
    const buffers: Buffer[] = [];
    for await (const chunk of this.#stream(batch)) buffers.push(chunk);
    this.#window.record({ bytes: batch.bytes, elapsedMs: performance.now() - started });
    return buffers;
  }

  async *#stream({ chunks, wanted }: Batch): AsyncGenerator<Buffer> {
    const { rangeSupport } = this.#accessor;
    let index = 0;
    for await (const reader of this.#accessor.getBlobAt(this.#info, chunks, {
      signal: this.#signal,
      takesWholeBlob: true,
    })) {
      rangeSupport.ranges = true;
      if (chunks.length > 1) rangeSupport.multiRange = true;
      const chunk = chunks[index];
      index += 1;
      if (chunk === undefined) throw new Error('more readers than chunks');
      const end = chunk.offset + chunk.length;
      const within = wanted.filter(({ offset }) => offset >= chunk.offset && offset < end);
      yield* slicesOf(reader, chunk.offset, within);
    }
  }

  /** The whole blob is on its way: the rest of what is wanted is cut out of it. */
  async *#outOfWhole(stream: Readable, head: Batch): AsyncGenerator<Buffer> {
    const ahead = this.#ahead.splice(0);
    this.#queue.putBack([head, ...ahead.map(({ batch }) => batch)]);
    await Promise.all(ahead.map(({ result, release }) => result.catch(dropWhole).finally(release)));
    const rest = this.#queue.take({ bytes: Infinity, ranges: Infinity, gap: Infinity });
    try {
      yield* slicesOf(stream, 0, rest?.wanted ?? [], { untilEnd: false });
    } finally {
      stream.destroy();
    }
  }

  #stepDown(error: unknown, batch: Batch): void {
    const isRefusal = error instanceof BadPartialRequestError || error instanceof WholeBlobError;
    if (!isRefusal) throw error;
    dropWhole(error);
    const { rangeSupport } = this.#accessor;
    const ahead = this.#ahead.splice(0);
    for (const { result, release } of ahead) void result.catch(dropWhole).finally(release);
    this.#queue.putBack([batch, ...ahead.map((later) => later.batch)]);
    if (batch.chunks.length === 1) {
      rangeSupport.ranges = false;
      throw new PartialBlobUnavailableError('the source refuses ranges', { cause: error });
    }
    const mayTakeFewer =
      error instanceof BadPartialRequestError && error.status === 400 && batch.chunks.length > FEW_RANGES.ranges;
    if (mayTakeFewer) this.#few = true;
    else rangeSupport.multiRange = false;
  }
}

function dropWhole(error: unknown): void {
  if (error instanceof WholeBlobError) error.stream.on('error', () => undefined).destroy();
}

/** Cuts ranges out of a stream that begins at `start`; what comes after the last of them is read only if `untilEnd` says so. */
async function* slicesOf(
  stream: Readable,
  start: number,
  wanted: readonly ByteRange[],
  { untilEnd = true } = {},
): AsyncGenerator<Buffer> {
  let position = start;
  let index = 0;
  for await (const bytes of stream as AsyncIterable<Buffer>) {
    const end = position + bytes.length;
    for (let range = wanted[index]; range !== undefined && range.offset < end; range = wanted[index]) {
      const rangeEnd = range.offset + range.length;
      const from = Math.max(range.offset, position);
      yield bytes.subarray(from - position, Math.min(rangeEnd, end) - position);
      if (rangeEnd > end) break;
      index += 1;
    }
    position = end;
    if (index === wanted.length && !untilEnd) return;
  }
  if (index < wanted.length) throw new Error(`the bytes end at ${position}, before those wanted`);
}
