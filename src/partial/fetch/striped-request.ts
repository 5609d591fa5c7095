import type {
  BlobChunkAccessor,
  ImageSourceChunk,
  RangeAnswer,
  BlobRange,
} from '../../contract/blob-chunk-accessor.ts';
import type { BlobInfo } from '../../contract/blob-info.ts';
import { BadPartialRequestError } from '../../contract/errors.ts';
import { nowMs } from '../../io/clock.ts';
import type { MemoryShare } from '../../io/memory.ts';
import type { Batch } from './range-batches.ts';
import { dropWhole, type AnsweredBatch } from './range-request.ts';

export interface StripedRequestOptions {
  readonly signal: AbortSignal;
  /** One for each stripe: what it reads ahead is held in it. */
  readonly shares: readonly MemoryShare[];
  /** Called where the next piece is wanted: so many stripes are full, and wait. */
  readonly onPiece: (full: number) => void;
  /** Called for each stripe when its first bytes are about to come, so many ms after they were asked for. */
  readonly onAnswer: (elapsedMs: number) => void;
}

/** What a stripe takes of the memory, in bytes: what it holds, and as much again in the streams that it is read through. */
export const STRIPE_MEMORY: number = 1024 * 1024;
/** What a stripe holds at the most, in bytes. */
const MOST_HELD = STRIPE_MEMORY / 2;
const PIECE_BYTES = 512 * 1024;
/** What a stripe asks for, in bytes: bodies over 4 MiB keep no place at their host while they wait to be read. */
const LEAST_STRIPE = 5 * 1024 * 1024;
const LARGEST_STRIPE = 16 * 1024 * 1024;

/** How many stripes a range is worth. */
export function stripesFor(length: number): number {
  return Math.floor(length / LEAST_STRIPE);
}

/** How much of a range so many stripes read, in bytes. */
export function stripedLength(length: number, stripes: number): number {
  return Math.min(length, stripes * LARGEST_STRIPE);
}

/**
 * A long range as stripes: each is one request for many pieces of it, every so-manieth. They come side by side, nearly in the order of the range, so
 * that little has to be held, and a host is asked a few times for many bytes. A stripe whose memory is full is not read until its turn comes.
 */
export class StripedRequest {
  readonly batch: Batch;
  readonly isReady = false;
  readonly #stripes: readonly Stripe[];
  readonly #shares: readonly MemoryShare[];
  readonly #onPiece: (full: number) => void;
  readonly #abort = new AbortController();

  constructor(accessor: BlobChunkAccessor, info: BlobInfo, range: BlobRange, options: StripedRequestOptions) {
    const { shares, signal, onPiece, onAnswer } = options;
    this.#shares = shares;
    this.#onPiece = onPiece;
    const pieces = piecesOf(range);
    this.batch = { chunks: pieces, wanted: [range], bytes: range.length };
    const stop = AbortSignal.any([signal, this.#abort.signal]);
    const open = async (chunks: readonly ImageSourceChunk[]): Promise<RangeAnswer> => {
      const started = nowMs();
      const answer = await accessor.getBlobAt(info, chunks, { signal: stop, mayPause: true });
      if (answer.kind === 'ranges') onAnswer(nowMs() - started);
      return answer;
    };
    this.#stripes = shares.map((_, index) => {
      const own = pieces.filter((_piece, at) => at % shares.length === index);
      return new Stripe(open, own);
    });
  }

  /**
   * The range from its first byte to its last.
   * @throws (from its bytes) BadPartialRequestError where a stripe is refused, and what `getBlobAt` throws.
   */
  answer(): Promise<AnsweredBatch> {
    return Promise.resolve({ kind: 'bytes', bytes: this.#inOrder() });
  }

  async *#inOrder(): AsyncGenerator<Buffer> {
    try {
      for (const [index, piece] of this.batch.chunks.entries()) {
        this.#onPiece(this.#stripes.filter(({ isFull }) => isFull).length);
        yield* this.#stripes[index % this.#stripes.length]?.take(piece.length) ?? [];
      }
      await Promise.all(this.#stripes.map((stripe) => stripe.finish()));
    } finally {
      await this.drop();
    }
  }

  /** Ends all its requests; resolves when nothing of them is left. */
  async drop(): Promise<void> {
    this.#abort.abort();
    await Promise.all(this.#stripes.map((stripe) => stripe.end()));
    this.release();
  }

  release(): void {
    for (const share of this.#shares) share[Symbol.dispose]();
  }
}

function piecesOf({ offset, length }: BlobRange): readonly BlobRange[] {
  const count = Math.ceil(length / PIECE_BYTES);
  return Array.from({ length: count }, (_, index) => ({
    offset: offset + index * PIECE_BYTES,
    length: Math.min(PIECE_BYTES, length - index * PIECE_BYTES),
  }));
}

/** One request, read ahead of its turn as far as its memory goes. */
class Stripe {
  readonly #held: Buffer[] = [];
  readonly #reading: Promise<void>;
  #bytes = 0;
  #isOver = false;
  #failure: { readonly error: unknown } | undefined;
  /** Called when bytes came, or were taken. */
  #wake: (() => void) | undefined;

  constructor(
    open: (chunks: readonly ImageSourceChunk[]) => Promise<RangeAnswer>,
    pieces: readonly ImageSourceChunk[],
  ) {
    this.#reading = this.#read(open(pieces));
  }

  get isFull(): boolean {
    return this.#bytes >= MOST_HELD;
  }

  /** The next so many bytes, as they come. */
  async *take(length: number): AsyncGenerator<Buffer> {
    for (let left = length; left > 0;) {
      const [first] = this.#held;
      if (first !== undefined) {
        const bytes = first.subarray(0, left);
        if (bytes.length === first.length) this.#held.shift();
        else this.#held[0] = first.subarray(left);
        left -= bytes.length;
        yield bytes;
        this.#bytes -= bytes.length;
        this.#wake?.();
      } else if (this.#failure !== undefined) {
        throw this.#failure.error;
      } else if (this.#isOver) {
        throw new Error('a stripe ends before its pieces do');
      } else {
        await this.#woken();
      }
    }
  }

  /** Waits for the answer's end, so that its connection can be used again. @throws what is wrong with it. */
  async finish(): Promise<void> {
    await this.#reading;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Drops what is left. */
  async end(): Promise<void> {
    this.#isOver = true;
    this.#held.length = 0;
    this.#wake?.();
    await this.#reading;
  }

  async #read(asked: Promise<RangeAnswer>): Promise<void> {
    try {
      const answer = await asked;
      dropWhole(answer);
      if (answer.kind === 'refused') throw answer.reason;
      if (answer.kind === 'whole') throw new BadPartialRequestError(200, 'OK');
      for await (const reader of answer.readers) {
        for await (const bytes of reader as AsyncIterable<Buffer>) {
          this.#held.push(bytes);
          this.#bytes += bytes.length;
          this.#wake?.();
          while (this.isFull && !this.#isOver) await this.#woken();
          if (this.#isOver) return;
        }
      }
    } catch (error) {
      if (!this.#isOver) this.#failure = { error };
    } finally {
      this.#isOver = true;
      this.#wake?.();
    }
  }

  /** Only one of its two sides waits at a time: for bytes while there are none, or for room while there is none. */
  async #woken(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    await promise;
  }
}
