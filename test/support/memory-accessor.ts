import { addAbortSignal, Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Digest } from '../../src/digest/digest.ts';
import { ImgcopyError } from '../../src/errors/imgcopy-error.ts';
import type {
  BlobChunkAccessor,
  ImageSourceChunk,
  RangeAnswer,
  RangeSupport,
  SeenRangeSupport,
} from '../../src/contract/blob-chunk-accessor.ts';
import type { BlobInfo, WaitOptions } from '../../src/contract/blob-info.ts';
import type { ChunkedTail, readTail } from '../../src/partial/toc/tail.ts';
import { BadPartialRequestError } from '../../src/contract/errors.ts';

const PACKET_BYTES = 64 * 1024;

/** What becomes of a request: the ranges, the whole blob, an error at once, or one after so many bytes. */
export type MemoryAnswer = 'ranges' | 'whole' | Error | { readonly cutAfter: number; readonly error: Error };

export interface MemoryAccessorOptions {
  /** Default: a network, and nothing known yet. */
  readonly rangeSupport?: Partial<RangeSupport> | undefined;
  /** Asked for each request, which waits for it; default `ranges`. */
  readonly answer?: ((chunks: readonly ImageSourceChunk[]) => MemoryAnswer | Promise<MemoryAnswer>) | undefined;
  /** Whether it gives whole blobs as well, where ranges are refused. Default false. */
  readonly givesWhole?: boolean | undefined;
  /** Each answer comes so much later, as over a line: a source without any delay is read as one stream. Default 0. */
  readonly latencyMs?: number | undefined;
}

/** What is known of a network's ranges: nothing to begin with, then what is reported. */
export function openRangeSupport(known: Partial<RangeSupport> = {}): RangeSupport {
  const support = {
    isLocal: false,
    ranges: undefined,
    multiRange: undefined,
    report: (seen: SeenRangeSupport) => void Object.assign(support, seen),
    ...known,
  };
  return support;
}

/** The readers of an answer. @throws what it says where the ranges are refused. */
export async function* readersOf(answer: Promise<RangeAnswer>): AsyncGenerator<Readable> {
  const answered = await answer;
  if (answered.kind === 'refused') throw answered.reason;
  if (answered.kind === 'whole') throw new Error('the whole blob came in place of ranges');
  yield* answered.readers;
}

/** What was read of a tail. @throws where the ranges were not answered. */
export function tailOf(read: Awaited<ReturnType<typeof readTail>>): ChunkedTail | undefined {
  if (read !== undefined && 'kind' in read) throw new Error(`the ranges were answered by: ${read.kind}`);
  return read;
}

/** Gives parts of a blob in memory, or of several, and notes what it was asked for. */
export class MemoryAccessor implements BlobChunkAccessor {
  readonly rangeSupport: RangeSupport;
  readonly #find: (digest: Digest) => Buffer | undefined;
  readonly #options: MemoryAccessorOptions;
  /** Each request's chunks. */
  readonly requests: (readonly ImageSourceChunk[])[] = [];
  /** Each request's signal. */
  readonly signals: (AbortSignal | undefined)[] = [];
  /** How often the whole blob was asked for. */
  wholes = 0;
  readonly getBlob?: NonNullable<BlobChunkAccessor['getBlob']>;
  /** Streams that were given, and were neither read to their end nor destroyed yet. */
  open = 0;

  /** @param bytes  of every blob, or of each by its digest; others are not found. */
  constructor(bytes: Buffer | ReadonlyMap<Digest, Buffer>, options: MemoryAccessorOptions = {}) {
    this.#find = (digest) => (bytes instanceof Uint8Array ? bytes : bytes.get(digest));
    this.#options = options;
    this.rangeSupport = openRangeSupport(options.rangeSupport);
    if (options.givesWhole !== true) return;
    this.getBlob = async ({ digest, size }, { signal } = {}) => {
      this.wholes += 1;
      return { stream: this.#stream(this.#blob(digest), signal), size };
    };
  }

  async getBlobAt(
    { digest }: BlobInfo,
    chunks: readonly ImageSourceChunk[],
    { signal }: WaitOptions = {},
  ): Promise<RangeAnswer> {
    this.requests.push(chunks);
    this.signals.push(signal);
    const { answer: answerTo, latencyMs = 0 } = this.#options;
    const answer = (await answerTo?.(chunks)) ?? 'ranges';
    if (latencyMs > 0) await delay(latencyMs, undefined, { signal });
    signal?.throwIfAborted();
    if (answer instanceof BadPartialRequestError) return { kind: 'refused', reason: answer };
    if (answer instanceof Error) throw answer;
    const blob = this.#blob(digest);
    if (answer === 'whole') return { kind: 'whole', stream: this.#stream(blob, signal) };
    return { kind: 'ranges', readers: this.#readers(blob, chunks, { answer, signal }) };
  }

  async *#readers(
    blob: Buffer,
    chunks: readonly ImageSourceChunk[],
    { answer, signal }: { readonly answer: Exclude<MemoryAnswer, Error>; readonly signal: AbortSignal | undefined },
  ): AsyncGenerator<Readable> {
    let left = typeof answer === 'object' ? answer.cutAfter : Infinity;
    for (const { offset, length = blob.length - offset } of chunks) {
      if (offset < 0 || length < 1 || offset + length > blob.length) {
        throw new RangeError(`${offset}+${length} is not inside ${blob.length} bytes`);
      }
      const bytes = blob.subarray(offset, offset + Math.min(length, left));
      const reader = this.#stream(bytes, signal, left < length ? (answer as { error: Error }).error : undefined);
      left -= length;
      try {
        yield reader;
      } finally {
        reader.destroy();
      }
    }
  }

  #blob(digest: Digest): Buffer {
    const blob = this.#find(digest);
    if (blob === undefined) throw new ImgcopyError(`no ${digest}`, { code: 'ERR_NOT_FOUND', kind: 'not-found' });
    return blob;
  }

  #stream(bytes: Buffer, signal: AbortSignal | undefined, failure?: Error): Readable {
    // Two at least, for no reader may count on getting all at once.
    const size = Math.max(1, Math.min(PACKET_BYTES, Math.ceil(bytes.length / 2)));
    const stream = Readable.from(packetsOf(bytes, size, failure), { objectMode: false });
    this.open += 1;
    stream.once('close', () => (this.open -= 1)).on('error', () => undefined);
    return signal === undefined ? stream : addAbortSignal(signal, stream);
  }
}

function* packetsOf(bytes: Buffer, size: number, failure: Error | undefined): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  if (failure !== undefined) throw failure;
}
