import type { Digest } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { ByteReader } from '../../io/byte-reader.ts';
import type { MemoryAccount } from '../../io/memory.ts';
import type { BlobChunkAccessor, BlobRange } from '../../contract/blob-chunk-accessor.ts';
import type { BlobInfo } from '../../contract/blob-info.ts';
import { brokenContract } from '../../contract/errors.ts';
import { fetchRanges } from './fetch-ranges.ts';
import type { Plan, ReuseSegment, Segment } from '../plan/segments.ts';

/** Where the pieces of a blob come from. */
export interface PieceSources {
  /** The source of the copy, and the blob as it is there. */
  readonly accessor: BlobChunkAccessor;
  readonly info: BlobInfo;
  /** The destination, and the blobs there that the plan reuses. */
  readonly own: BlobChunkAccessor;
  readonly oldBlobs: readonly BlobInfo[];
  readonly memory: MemoryAccount;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The bytes of a planned blob from its first to its last: pieces of old blobs and fetched ranges in turn, both read ahead. What an old blob does not
 * give, because it is gone or damaged or cannot be reached, is fetched from the source instead.
 *
 * @param onFallback  told of reused ranges that were fetched after all.
 */
export async function* plannedBytes(
  plan: Plan,
  sources: PieceSources,
  onFallback?: (range: BlobRange) => void,
): AsyncGenerator<Buffer> {
  const { accessor, info, memory, signal } = sources;
  const fetched = new ExactBytes(
    fetchRanges(accessor, info, plan.segments.filter(isFetch), { memory, givesBack: true, signal }),
  );
  const reused = new ReusedPieces(plan.segments, sources, onFallback);
  try {
    for (const segment of plan.segments) {
      if (segment.kind === 'have') yield segment.bytes;
      else if (segment.kind === 'fetch') yield* fetched.take(segment.length);
      else yield* reused.take(segment);
    }
    await fetched.end();
  } finally {
    await Promise.all([fetched.close(), reused.close()]);
  }
}

/** Reads the pieces of old blobs: those of one blob in rising order are one run, asked for together. */
class ReusedPieces {
  readonly #segments: readonly ReuseSegment[];
  readonly #sources: PieceSources;
  readonly #onFallback: ((range: BlobRange) => void) | undefined;
  readonly #unusable = new Set<Digest>();
  #next = 0;
  #run: ExactBytes | undefined;
  #runEnd = 0;

  constructor(
    segments: readonly Segment[],
    sources: PieceSources,
    onFallback: ((range: BlobRange) => void) | undefined,
  ) {
    this.#segments = segments.filter((segment) => segment.kind === 'reuse');
    this.#sources = sources;
    this.#onFallback = onFallback;
  }

  async *take(segment: ReuseSegment): AsyncGenerator<Buffer> {
    if (this.#next >= this.#runEnd) await this.#open(0);
    for (let given = 0; given < segment.length;) {
      const bytes = await this.#read(segment, given);
      given += bytes.length;
      yield bytes;
    }
    this.#next += 1;
    if (this.#next === this.#runEnd) await this.#reader().end();
  }

  /** @param given  how much of the segment was read before, in bytes. */
  async #read({ blob, length }: ReuseSegment, given: number): Promise<Buffer> {
    try {
      return await this.#reader().read(length - given);
    } catch (error) {
      if (!(error instanceof ImgcopyError) || this.#unusable.has(blob)) throw error;
      this.#unusable.add(blob);
      await this.#open(given);
      return await this.#reader().read(length - given);
    }
  }

  async close(): Promise<void> {
    await this.#run?.close();
    this.#run = undefined;
  }

  #reader(): ExactBytes {
    if (this.#run === undefined) throw new Error('no run of pieces is open');
    return this.#run;
  }

  /** Begins a run at the next segment, less the bytes of it that were given already. A blob that cannot be used is replaced by the source. */
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
    if (this.#unusable.has(first.blob)) {
      for (const segment of rest) this.#onFallback?.(segment);
      this.#run = new ExactBytes(fetchRanges(accessor, info, rest, { memory, givesBack: true, signal }));
      return;
    }
    const old = oldBlobs.find(({ digest }) => digest === first.blob);
    if (old === undefined) throw new Error(`the plan reuses ${first.blob}, which is unknown`);
    const ranges = rest.map(({ blobOffset, length }) => ({ offset: blobOffset, length }));
    this.#run = new ExactBytes(fetchRanges(own, old, ranges, { memory, givesBack: true, signal }));
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

/** Bytes that have to be as many as are taken. */
class ExactBytes {
  readonly #bytes: ByteReader;

  constructor(bytes: AsyncGenerator<Buffer>) {
    this.#bytes = new ByteReader(bytes);
  }

  async *take(length: number): AsyncGenerator<Buffer> {
    for (let left = length; left > 0;) {
      const part = await this.read(left);
      left -= part.length;
      yield part;
    }
  }

  /** The next bytes: `limit` of them at most. */
  async read(limit: number): Promise<Buffer> {
    const part = await this.#bytes.take(limit);
    if (part === undefined) throw brokenContract('getBlobAt gave fewer bytes than were asked for');
    return part;
  }

  /** To be called when all was taken: so the last answer is read to its end, and its connection can be used again. */
  async end(): Promise<void> {
    if (await this.#bytes.fill()) throw brokenContract('getBlobAt gave more bytes than were asked for');
  }

  async close(): Promise<void> {
    await this.#bytes.close();
  }
}
