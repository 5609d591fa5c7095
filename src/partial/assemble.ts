import type { Digest } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import type { Semaphore } from '../io/semaphore.ts';
import type { BlobChunkAccessor } from '../types/blob-chunk-accessor.ts';
import type { BlobInfo } from '../types/blob-info.ts';
import { fetchRanges } from './fetch-ranges.ts';
import type { ByteRange, Plan, ReuseSegment, Segment } from './segments.ts';

/** Where the pieces of a blob come from. */
export interface PieceSources {
  /** The source of the copy, and the blob as it is there. */
  readonly accessor: BlobChunkAccessor;
  readonly info: BlobInfo;
  /** The destination, and the blobs there that the plan reuses. */
  readonly own: BlobChunkAccessor;
  readonly oldBlobs: readonly BlobInfo[];
  readonly memory: Semaphore;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The bytes of a planned blob from its first to its last: pieces of old blobs and fetched ranges in turn, both read ahead. An old blob that is gone
 * is fetched from the source instead.
 *
 * @param onFallback  told of reused ranges that were fetched after all.
 */
export async function* assemble(
  plan: Plan,
  sources: PieceSources,
  onFallback?: (range: ByteRange) => void,
): AsyncGenerator<Buffer> {
  const { accessor, info, memory, signal } = sources;
  const fetched = new ByteReader(fetchRanges(accessor, info, plan.segments.filter(isFetch), { memory, signal }));
  const reused = new ReusedPieces(plan.segments, sources, onFallback);
  try {
    for (const segment of plan.segments) {
      if (segment.kind === 'have') yield segment.bytes;
      else if (segment.kind === 'fetch') yield* fetched.take(segment.length);
      else yield* reused.take(segment);
    }
  } finally {
    await Promise.all([fetched.close(), reused.close()]);
  }
}

/** Reads the pieces of old blobs: those of one blob in rising order are one run, asked for together. */
class ReusedPieces {
  readonly #segments: readonly ReuseSegment[];
  readonly #sources: PieceSources;
  readonly #onFallback: ((range: ByteRange) => void) | undefined;
  readonly #gone = new Set<Digest>();
  #next = 0;
  #run: ByteReader | undefined;
  #runEnd = 0;

  constructor(
    segments: readonly Segment[],
    sources: PieceSources,
    onFallback: ((range: ByteRange) => void) | undefined,
  ) {
    this.#segments = segments.filter((segment) => segment.kind === 'reuse');
    this.#sources = sources;
    this.#onFallback = onFallback;
  }

  async *take(segment: ReuseSegment): AsyncGenerator<Buffer> {
    if (this.#next >= this.#runEnd) await this.#open(0);
    let given = 0;
    try {
      for await (const bytes of this.#reader().take(segment.length)) {
        given += bytes.length;
        yield bytes;
      }
    } catch (error) {
      if (!isGone(error) || this.#gone.has(segment.blob)) throw error;
      this.#gone.add(segment.blob);
      await this.#open(given);
      yield* this.#reader().take(segment.length - given);
    }
    this.#next += 1;
  }

  async close(): Promise<void> {
    await this.#run?.close();
    this.#run = undefined;
  }

  #reader(): ByteReader {
    if (this.#run === undefined) throw new Error('no run of pieces is open');
    return this.#run;
  }

  /** Begins a run at the next segment, less the bytes of it that were given already. A blob that is gone is replaced by the source. */
  async #open(given: number): Promise<void> {
    await this.close();
    const run = risingRun(this.#segments, this.#next);
    const [first] = run;
    if (first === undefined) throw new Error('there are no more pieces to reuse');
    this.#runEnd = this.#next + run.length;
    const rest = run
      .map((segment, index) => (index === 0 ? withoutFront(segment, given) : segment))
      .filter(({ length }) => length > 0);
    const { accessor, info, own, oldBlobs, memory, signal } = this.#sources;
    if (this.#gone.has(first.blob)) {
      for (const segment of rest) this.#onFallback?.(segment);
      this.#run = new ByteReader(fetchRanges(accessor, info, rest, { memory, signal }));
      return;
    }
    const old = oldBlobs.find(({ digest }) => digest === first.blob);
    if (old === undefined) throw new Error(`the plan reuses ${first.blob}, which is unknown`);
    const ranges = rest.map(({ blobOffset, length }) => ({ offset: blobOffset, length }));
    this.#run = new ByteReader(fetchRanges(own, old, ranges, { memory, signal }));
  }
}

function withoutFront(segment: ReuseSegment, bytes: number): ReuseSegment {
  const { offset, blobOffset, length } = segment;
  return { ...segment, offset: offset + bytes, blobOffset: blobOffset + bytes, length: length - bytes };
}

function risingRun(segments: readonly ReuseSegment[], from: number): readonly ReuseSegment[] {
  const first = segments[from];
  let end = from + 1;
  for (
    let last = first, next = segments[end];
    last !== undefined && next?.blob === first?.blob;
    last = next, next = segments[end]
  ) {
    if (next === undefined || next.blobOffset < last.blobOffset + last.length) break;
    end += 1;
  }
  return segments.slice(from, end);
}

function isFetch(segment: Segment): boolean {
  return segment.kind === 'fetch';
}

/** Whether an old blob was deleted meanwhile. */
export function isGone(error: unknown): boolean {
  return error instanceof ImgcopyError && error.kind === 'not-found';
}

/** Takes exact amounts out of a stream of buffers. */
class ByteReader {
  readonly #bytes: AsyncGenerator<Buffer>;
  #held: Buffer | undefined;

  constructor(bytes: AsyncGenerator<Buffer>) {
    this.#bytes = bytes;
  }

  async *take(length: number): AsyncGenerator<Buffer> {
    for (let left = length; left > 0;) {
      const held = this.#held ?? (await this.#next());
      const part = held.subarray(0, left);
      this.#held = part.length < held.length ? held.subarray(part.length) : undefined;
      left -= part.length;
      yield part;
    }
  }

  async close(): Promise<void> {
    await this.#bytes.return(undefined);
  }

  async #next(): Promise<Buffer> {
    const { value, done } = await this.#bytes.next();
    if (done) throw new Error('the pieces end before the blob does');
    return value;
  }
}
