import type { MemoryShare } from '../../io/memory.ts';
import type { Readable } from 'node:stream';
import type { BlobChunkAccessor, UnansweredRanges, BlobRange } from '../../contract/blob-chunk-accessor.ts';
import type { BlobInfo } from '../../contract/blob-info.ts';
import { brokenContract } from '../../contract/errors.ts';
import { CollectedBytes } from './collected-bytes.ts';
import type { Batch } from './range-batches.ts';
import type { RangeTiming } from './range-window.ts';
import { slicesOf } from './slices.ts';
import { nowMs } from '../../io/clock.ts';

export interface RangeRequestOptions {
  readonly signal: AbortSignal;
  /** Called when the first bytes are about to come, so many ms after they were asked for. */
  readonly onAnswer: (elapsedMs: number) => void;
  /** Whether who takes the bytes gives them back. */
  readonly givesBack: boolean;
  /** The memory that its bytes take, where it reads into memory; given back when it is released. */
  readonly share: MemoryShare | undefined;
}

/** The wanted bytes of a batch, in order. */
export interface AnsweredBatch {
  readonly kind: 'bytes';
  readonly bytes: AsyncIterable<Buffer> | Iterable<Buffer>;
}

interface CollectedBatch extends AnsweredBatch {
  readonly bytes: readonly Buffer[];
}

/** One request for a batch of ranges: read into memory ahead of its turn, or passed on as it comes. */
export class RangeRequest {
  readonly batch: Batch;
  readonly #accessor: BlobChunkAccessor;
  readonly #info: BlobInfo;
  readonly #options: RangeRequestOptions;
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal;
  #collected: Promise<CollectedBatch | UnansweredRanges> | undefined;
  #isReady = false;

  constructor(accessor: BlobChunkAccessor, info: BlobInfo, batch: Batch, options: RangeRequestOptions) {
    this.#accessor = accessor;
    this.#info = info;
    this.batch = batch;
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#abort.signal]);
  }

  /** Whether it is in memory to its end. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** Begins to read into memory: `batch.bytes` of it. */
  collect(onDone: (timing: RangeTiming) => void): void {
    this.#collected = this.#collect(onDone);
    // Who takes the bytes hears of a failure; who drops the request need not.
    this.#collected.catch(() => undefined);
  }

  /** The wanted bytes, one range after the other; or what came in their place. */
  answer(): Promise<AnsweredBatch | UnansweredRanges> {
    return this.#collected ?? this.#send();
  }

  /** Ends a request that reads into memory; resolves when nothing of it is left. */
  async drop(): Promise<void> {
    this.#abort.abort();
    const answer = await this.#collected?.catch(() => undefined);
    if (answer !== undefined) dropWhole(answer);
    this.release();
  }

  release(): void {
    this.#options.share?.[Symbol.dispose]();
  }

  async #collect(onDone: (timing: RangeTiming) => void): Promise<CollectedBatch | UnansweredRanges> {
    const started = nowMs();
    const answer = await this.#send();
    if (answer.kind !== 'bytes') return answer;
    const bytes = new CollectedBytes({ toSlabs: this.#options.givesBack ? this.batch.bytes : 0 });
    for await (const piece of answer.bytes) bytes.add(piece);
    this.#isReady = true;
    onDone({ bytes: bytes.length, elapsedMs: nowMs() - started });
    return { kind: 'bytes', bytes: bytes.finish() };
  }

  async #send(): Promise<AnsweredBatch | UnansweredRanges> {
    const started = nowMs();
    const answer = await this.#accessor.getBlobAt(this.#info, this.batch.chunks, {
      givesBack: this.#options.givesBack,
      signal: this.#signal,
    });
    if (answer.kind !== 'ranges') return answer;
    return { kind: 'bytes', bytes: this.#wanted(answer.readers, started) };
  }

  async *#wanted(readers: AsyncIterable<Readable>, started: number): AsyncGenerator<Buffer> {
    const { chunks, wanted } = this.batch;
    let read = 0;
    let given = 0;
    for await (const reader of readers) {
      if (read === 0) this.#options.onAnswer(nowMs() - started);
      const chunk = chunks[read];
      if (chunk === undefined)
        throw brokenContract(`getBlobAt gave more than ${chunks.length} readers for ${chunks.length} ranges`);
      const within = startingBefore(wanted, given, chunk.offset + chunk.length);
      yield* slicesOf(reader as AsyncIterable<Buffer>, { start: chunk.offset, wanted: within });
      read += 1;
      given += within.length;
    }
    if (read < chunks.length) throw brokenContract(`getBlobAt gave ${read} readers for ${chunks.length} ranges`);
  }
}

/** Lets go of an answer that brings the whole blob. */
export function dropWhole(answer: { readonly kind: string; readonly stream?: Readable }): void {
  if (answer.kind === 'whole') answer.stream?.on('error', () => undefined).destroy();
}

function startingBefore(ranges: readonly BlobRange[], from: number, end: number): readonly BlobRange[] {
  let to = from;
  for (let next = ranges[to]; next !== undefined && next.offset < end; next = ranges[to]) to += 1;
  return ranges.slice(from, to);
}
