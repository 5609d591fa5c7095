import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { SPARE_BYTES, type MemoryAccount, type MemoryShare } from '../../io/memory.ts';
import type { BlobChunkAccessor, BlobRange, UnansweredRanges } from '../../contract/blob-chunk-accessor.ts';
import type { BlobInfo } from '../../contract/blob-info.ts';
import { PartialBlobUnavailableError } from '../../contract/errors.ts';
import { RangeQueue, type Batch, type BatchLimits } from './range-batches.ts';
import { dropWhole, RangeRequest, type AnsweredBatch } from './range-request.ts';
import { brokenAnswer, learnRefusal, type BrokenAnswer } from './refused-ranges.ts';
import { FAST_CONNECTION, RangeWindow } from './range-window.ts';
import { paceOf } from './source-pace.ts';
import { MULTI_RANGE_GAP_BYTES, SINGLE_RANGE_GAP_BYTES } from '../plan/segments.ts';
import { slicesOf } from './slices.ts';
import { STRIPE_MEMORY, StripedRequest, stripedLength, stripesFor } from './striped-request.ts';

export interface FetchRangesOptions {
  readonly memory: MemoryAccount;
  /** Whether who takes the bytes keeps none of them, and gives them back (`io/slabs.ts`). Default false. */
  readonly givesBack?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a request asks for at the most, in bytes: with 80 ms of round trip and 12 MB/s, bytes move half of its time. Twice that took twice the memory
 * for a third more of throughput. */
export const SEGMENT_BYTES: number = 1024 * 1024;
/** A range as long as this is passed on as it comes where there is no room for it, or no need; then in so many bytes at a time. */
const LONG_RANGE = 8 * 1024 * 1024;
const STREAMED_BYTES = 2 * LONG_RANGE;

/**
 * A blob as large as this is read in stripes where many ranges are answered by one request. Of a smaller one, single ranges are few enough,
 * and less of them is lost when the run is killed: what waits in the sockets' buffers of many long answers was up to 40 % of 200 MB.
 */
export const STRIPED_BLOB: number = 256 * 1024 * 1024;
/** Shorter ranges of it are not worth stripes. */
const STRIPED_RANGE = 32 * 1024 * 1024;
const MOST_STRIPES = 8;
const FEWEST_STRIPES = 4;

/** The ladder of requests: many ranges, then few and larger ones, then one a request, then the whole blob. */
const MANY_RANGES = { bytes: SEGMENT_BYTES, ranges: 200, gap: MULTI_RANGE_GAP_BYTES };
const FEW_RANGES = { bytes: SEGMENT_BYTES, ranges: 16, gap: 4096 };
const ONE_RANGE = { bytes: SEGMENT_BYTES, ranges: 1, gap: SINGLE_RANGE_GAP_BYTES };

/**
 * Reads ranges of a blob, many at a time, and gives their bytes one range after the other. Memory is bounded: a request that reads ahead takes
 * its bytes from the budget. Where there is none left, a little is read, or a long range passed on as it comes. What is read into memory is
 * read to its end whatever the consumer waits for, so that no answer keeps a place at its host while another one is waited for.
 *
 * @param ranges  sorted, not overlapping.
 * @throws PartialBlobUnavailableError when the server refuses single ranges as well, and the accessor does not give whole blobs.
 */
export async function* fetchRanges(
  accessor: BlobChunkAccessor,
  info: BlobInfo,
  ranges: readonly BlobRange[],
  options: FetchRangesOptions,
): AsyncGenerator<Buffer> {
  const leave = new AbortController();
  const signal = options.signal === undefined ? leave.signal : AbortSignal.any([options.signal, leave.signal]);
  const fetcher = new RangeFetcher(accessor, info, ranges, { ...options, signal });
  const reader = options.memory.countReader();
  try {
    yield* fetcher.bytes();
  } finally {
    leave.abort();
    reader[Symbol.dispose]();
    await fetcher.dropAhead();
  }
}

class RangeFetcher {
  readonly #accessor: BlobChunkAccessor;
  readonly #info: BlobInfo;
  readonly #queue: RangeQueue;
  readonly #memory: MemoryAccount;
  readonly #signal: AbortSignal;
  readonly #givesBack: boolean;
  readonly #window: RangeWindow;
  #ahead: (RangeRequest | StripedRequest)[] = [];
  /** Set once it was asked whether many ranges are answered. */
  #probe: Promise<void> | undefined;
  /** A request is under way whose answer shows what the server can do; nothing is asked for ahead of that. */
  #isProbing = false;
  /** The first range comes from near: nothing is asked for ahead before its end shows how fast one stream is. */
  #isMeasuring = false;
  #few = false;
  /** What was asked for ahead is being put back: until that is done, nothing more is taken, or the order would be lost. */
  #isPuttingBack = false;
  #takesWhole: boolean;

  constructor(
    accessor: BlobChunkAccessor,
    info: BlobInfo,
    ranges: readonly BlobRange[],
    options: FetchRangesOptions & { readonly signal: AbortSignal },
  ) {
    this.#accessor = accessor;
    this.#info = info;
    this.#queue = new RangeQueue(ranges);
    this.#memory = options.memory;
    this.#signal = options.signal;
    this.#givesBack = options.givesBack ?? false;
    this.#window = new RangeWindow({
      blobs: () => options.memory.readers,
      pace: paceOf(accessor.rangeSupport),
    });
    this.#takesWhole = accessor.rangeSupport.ranges === false && accessor.getBlob !== undefined;
  }

  async *bytes(): AsyncGenerator<Buffer> {
    for (;;) {
      if (this.#takesWhole) {
        yield* this.#whole();
        return;
      }
      const waiting = this.#ahead.findIndex(({ isReady }) => !isReady);
      this.#window.consume(waiting === -1 ? this.#ahead.length : waiting);
      this.#readAhead();
      const head = this.#ahead.shift() ?? this.#requestNext();
      if (head === undefined) return;
      try {
        const answer = await head.answer().catch((error: unknown) => brokenAnswer(error, head.batch));
        if (answer.kind === 'whole' && head.batch.chunks.length === 1) {
          this.#accessor.rangeSupport.report({ ranges: false });
          yield* this.#outOfWhole(answer.stream, head.batch.wanted);
          return;
        }
        if (answer.kind === 'bytes') yield* this.#pass(answer.bytes, head.batch);
        else await this.#stepDown(answer, head.batch, 0);
      } finally {
        head.release();
      }
    }
  }

  async *#pass(bytes: AnsweredBatch['bytes'], batch: Batch): AsyncGenerator<Buffer> {
    let given = 0;
    const watch = this.#window.isFast && batch.bytes > STREAMED_BYTES ? this.#window.watchStream() : undefined;
    try {
      for await (const piece of bytes) {
        watch?.came(piece.length);
        given += piece.length;
        yield piece;
        const heldUpRate = watch?.heldUpRate();
        if (heldUpRate === undefined || heldUpRate >= FAST_CONNECTION || given === batch.bytes) continue;
        this.#window.leaveStream(heldUpRate);
        await this.#putBack(withoutFirst(batch.wanted, given));
        return;
      }
    } catch (error) {
      await this.#stepDown(brokenAnswer(error, batch), batch, given);
    }
  }

  /** Ends what was asked for ahead, and waits until it has let go of everything. @returns what each was to give. */
  async dropAhead(): Promise<readonly (readonly BlobRange[])[]> {
    const dropped = this.#ahead.splice(0);
    await Promise.all([this.#probe, ...dropped.map((request) => request.drop())]);
    return dropped.map(({ batch }) => batch.wanted);
  }

  /** Asks for as much ahead as window and memory allow. */
  #readAhead(): void {
    if (this.#isAskedOnce || this.#signal.aborted) return;
    while (!this.#isProbing && !this.#isMeasuring && !this.#isPuttingBack && this.#ahead.length < this.#window.size) {
      if (this.#window.isFast && this.#isLong()) return;
      this.#askForManyRanges();
      if (this.#mayStripe()) {
        if (this.#ahead.some((request) => request instanceof StripedRequest)) return;
        const striped = this.#openStripes();
        if (striped !== undefined) this.#ahead.push(striped);
        return;
      }
      const share = this.#memory.takeNow(SEGMENT_BYTES);
      if (share === undefined) return;
      const batch = this.#queue.take(this.#limits());
      if (batch === undefined) return share[Symbol.dispose]();
      this.#ahead.push(this.#collect(batch, share));
    }
  }

  /** Asks for what is needed next: for a little, which there is memory for in any case, or a long range, which is passed on as it comes. */
  #requestNext(): RangeRequest | undefined {
    const limits = this.#limits();
    if (!this.#isAskedOnce && !this.#isLong()) {
      const batch = this.#queue.take({ ...limits, bytes: SPARE_BYTES });
      return batch && this.#collect(batch, this.#memory.takeSome(SPARE_BYTES));
    }
    const streamed = this.#isAskedOnce ? limits : { ...limits, ranges: 1, bytes: STREAMED_BYTES };
    const batch = this.#queue.take(this.#window.isFast ? { ...streamed, bytes: Infinity } : streamed);
    return batch && this.#open(batch);
  }

  /** Whether what comes next is best read in stripes. */
  #mayStripe(): boolean {
    return (
      !this.#few && !this.#window.isOpen && this.#accessor.rangeSupport.multiRange === true && this.#isWorthStripes()
    );
  }

  #isWorthStripes(): boolean {
    return this.#info.size >= STRIPED_BLOB && (this.#queue.first?.length ?? 0) >= STRIPED_RANGE;
  }

  /** Opens as many stripes as are worth it, and there is memory for. One set of them at a time: they fill the link. */
  #openStripes(): StripedRequest | undefined {
    const length = this.#queue.first?.length ?? 0;
    const count = Math.min(MOST_STRIPES, this.#window.needed, stripesFor(length));
    const shares: MemoryShare[] = [];
    for (let share = this.#memory.takeNow(STRIPE_MEMORY); share !== undefined;) {
      shares.push(share);
      share = shares.length < count ? this.#memory.takeNow(STRIPE_MEMORY) : undefined;
    }
    const range =
      shares.length >= FEWEST_STRIPES
        ? this.#queue.take({ ranges: 1, gap: 0, bytes: stripedLength(length, shares.length) })?.wanted[0]
        : undefined;
    if (range === undefined) {
      for (const share of shares) share[Symbol.dispose]();
      return undefined;
    }
    const onPiece = (full: number): void => this.#window.consume(full);
    const onAnswer = this.#expectAnswer();
    return new StripedRequest(this.#accessor, this.#info, range, { shares, onPiece, onAnswer, signal: this.#signal });
  }

  /** Finds out beside the first ranges of a very long one whether many ranges are answered: two bytes do for that. */
  #askForManyRanges(): void {
    const { first } = this.#queue;
    if (this.#probe !== undefined || this.#accessor.rangeSupport.multiRange !== undefined) return;
    if (first === undefined || !this.#isWorthStripes()) return;
    const { offset, length } = first;
    this.#probe = this.#probeRanges([offset, offset + length - 1]).catch(() => undefined);
  }

  async #probeRanges(offsets: readonly number[]): Promise<void> {
    const { rangeSupport } = this.#accessor;
    const chunks = offsets.map((offset) => ({ offset, length: 1 }));
    try {
      const answer = await this.#accessor.getBlobAt(this.#info, chunks, { signal: this.#signal });
      if (answer.kind === 'ranges') for await (const reader of answer.readers) await finished(reader.resume());
      else dropWhole(answer);
      rangeSupport.report({ multiRange: answer.kind === 'ranges' });
    } catch (error) {
      brokenAnswer(error, { chunks });
      rangeSupport.report({ multiRange: false });
    }
  }

  #collect(batch: Batch, share: MemoryShare): RangeRequest {
    const request = this.#open(batch, share);
    request.collect((timing) => {
      this.#isMeasuring = false;
      this.#window.record(timing);
    });
    return request;
  }

  #open(batch: Batch, share?: MemoryShare): RangeRequest {
    const { ranges, multiRange } = this.#accessor.rangeSupport;
    this.#isProbing = ranges !== true || (multiRange === undefined && batch.chunks.length > 1);
    const isFirst = this.#isProbing && ranges !== true;
    const isNearAfter = this.#expectAnswer();
    const onAnswer = (elapsedMs: number): void => {
      this.#isMeasuring = isNearAfter(elapsedMs) && isFirst && share !== undefined;
      this.#learn(batch);
    };
    return new RangeRequest(this.#accessor, this.#info, batch, {
      share,
      onAnswer,
      givesBack: this.#givesBack,
      signal: this.#signal,
    });
  }

  /** To be called before a request goes out. @returns to be told after how many ms its answer began: whether the source is near. */
  #expectAnswer(): (elapsedMs: number) => boolean {
    const idleBefore = idleMs();
    return (elapsedMs) => this.#window.answered({ elapsedMs, idleMs: idleMs() - idleBefore });
  }

  /** The server answers what a batch asked for: more of that kind may follow. */
  #learn({ chunks }: Batch): void {
    this.#accessor.rangeSupport.report({ ranges: true, ...(chunks.length > 1 && { multiRange: true }) });
    this.#isProbing = false;
    this.#readAhead();
  }

  /** Several requests gain nothing. */
  get #isAskedOnce(): boolean {
    const { isLocal, isShared = false } = this.#accessor.rangeSupport;
    return isLocal || isShared;
  }

  #isLong(): boolean {
    return (this.#queue.first?.length ?? 0) >= LONG_RANGE;
  }

  #limits(): BatchLimits {
    const { multiRange } = this.#accessor.rangeSupport;
    if (this.#isAskedOnce) return { bytes: Infinity, ranges: Infinity, gap: 0 };
    if (multiRange === false) return ONE_RANGE;
    return this.#few ? FEW_RANGES : MANY_RANGES;
  }

  async *#whole(): AsyncGenerator<Buffer> {
    if (this.#queue.first === undefined) return;
    const answer = await this.#accessor.getBlob?.(this.#info, { signal: this.#signal });
    if (answer === undefined) throw new Error('the accessor gives no whole blobs');
    yield* this.#outOfWhole(answer.stream, []);
  }

  /** Puts the ranges back that come next, and after them all that was asked for ahead. */
  async #putBack(head: readonly BlobRange[]): Promise<void> {
    this.#isPuttingBack = true;
    try {
      this.#queue.putBack([head, ...(await this.dropAhead())]);
    } finally {
      this.#isPuttingBack = false;
    }
  }

  /** The whole blob is on its way: the rest of what is wanted is cut out of it. */
  async *#outOfWhole(stream: Readable, head: readonly BlobRange[]): AsyncGenerator<Buffer> {
    try {
      await this.#putBack(head);
      const rest = this.#queue.take({ bytes: Infinity, ranges: Infinity, gap: Infinity });
      yield* slicesOf(stream, { start: 0, wanted: rest?.wanted ?? [], untilEnd: false });
    } finally {
      stream.on('error', () => undefined).destroy();
    }
  }

  /** @param given  how much of the refused request's bytes came before, and were passed on. */
  async #stepDown(failure: UnansweredRanges | BrokenAnswer, refused: Batch, given: number): Promise<void> {
    dropWhole(failure);
    const { rangeSupport } = this.#accessor;
    await this.#putBack(withoutFirst(refused.wanted, given));
    this.#isProbing = false;
    this.#isMeasuring = false;
    if (refused.chunks.length === 1) {
      learnRefusal(rangeSupport, failure);
      this.#takesWhole = this.#accessor.getBlob !== undefined;
      if (this.#takesWhole) return;
      const cause = failure.kind === 'whole' ? undefined : failure.reason;
      throw new PartialBlobUnavailableError('the source refuses ranges', { cause });
    }
    const mayTakeFewer =
      failure.kind === 'refused' && failure.reason.status === 400 && refused.chunks.length > FEW_RANGES.ranges;
    if (mayTakeFewer) this.#few = true;
    else rangeSupport.report({ multiRange: false });
  }
}

/** What is left of ranges once their first bytes are there. */
function withoutFirst(ranges: readonly BlobRange[], bytes: number): readonly BlobRange[] {
  let given = bytes;
  return ranges.flatMap(({ offset, length }) => {
    const skipped = Math.min(given, length);
    given -= skipped;
    return skipped === length ? [] : [{ offset: offset + skipped, length: length - skipped }];
  });
}

/** For how long the event loop has had nothing to do so far, in ms. */
function idleMs(): number {
  return performance.eventLoopUtilization().idle;
}
