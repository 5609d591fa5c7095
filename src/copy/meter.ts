import { pipeline, Transform, type Readable, type TransformCallback } from 'node:stream';
import type { BlobChunkAccessor, BlobStream } from '../contract/blob-chunk-accessor.ts';
import type { BlobInfo } from '../contract/blob-info.ts';
import type { CopyRun } from './copy-run.ts';

const BLOB_BUFFER = 256 * 1024;
const RANGE_BUFFER = 64 * 1024;
/** Streams of so many bytes are told of. */
const LARGE_STREAM = 64 * 1024 * 1024;

/** Counts the bytes of one blob that come from the source, and reports them. */
export class Meter {
  readonly #run: CopyRun;
  readonly #info: BlobInfo;
  #bytes = 0;
  #shown = 0;

  constructor(run: CopyRun, info: BlobInfo) {
    this.#run = run;
    this.#info = info;
  }

  /** All that was fetched, attempts that came to nothing included. */
  get bytes(): number {
    return this.#bytes;
  }

  restart(): void {
    this.#shown = 0;
    this.#run.emit({ type: 'blob-progress', digest: this.#info.digest, bytes: 0 });
  }

  /** @param length  of the stream in bytes; default that of the blob. */
  count(stream: Readable, length: number = this.#info.size): Readable {
    // Of ranges, many are read at a time.
    const highWaterMark = length < this.#info.size ? RANGE_BUFFER : BLOB_BUFFER;
    const counter = new Transform({
      // One chunk at a time: a stream of bytes joins those that it gives at once.
      readableObjectMode: true,
      readableHighWaterMark: 1,
      writableHighWaterMark: highWaterMark,
      transform: (chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void => {
        this.#add(chunk.length);
        done(null, chunk);
      },
    });
    const isLarge = length >= LARGE_STREAM;
    if (isLarge) this.#tell(true);
    return pipeline(stream, counter, () => isLarge && this.#tell(false));
  }

  /** Counts bytes that are in memory. */
  countBytes(bytes: Buffer): Buffer {
    this.#add(bytes.length);
    return bytes;
  }

  /** The same parts of blobs, what is read of them counted. */
  measuring(parts: BlobChunkAccessor | undefined): BlobChunkAccessor | undefined {
    if (parts === undefined) return undefined;
    const getBlob = parts.getBlob?.bind(parts);
    const count = (stream: Readable, length?: number): Readable => this.count(stream, length);
    return {
      rangeSupport: parts.rangeSupport,
      ...(getBlob !== undefined && {
        async getBlob(info, options): Promise<BlobStream> {
          const { stream, size } = await getBlob(info, options);
          return { stream: count(stream), size };
        },
      }),
      async getBlobAt(info, chunks, options) {
        const answer = await parts.getBlobAt(info, chunks, options);
        if (answer.kind === 'whole') return { ...answer, stream: count(answer.stream) };
        if (answer.kind === 'refused') return answer;
        return { ...answer, readers: each(answer.readers, (reader, index) => count(reader, chunks[index]?.length)) };
      },
    };
  }

  #tell(isOpen: boolean): void {
    this.#run.emit({ type: 'blob-stream', digest: this.#info.digest, isOpen });
  }

  #add(length: number): void {
    this.#bytes += length;
    this.#shown += length;
    this.#run.emit({ type: 'blob-progress', digest: this.#info.digest, bytes: this.#shown });
  }
}

async function* each<T>(items: AsyncIterable<T>, change: (item: T, index: number) => T): AsyncGenerator<T> {
  let index = 0;
  for await (const item of items) {
    yield change(item, index);
    index += 1;
  }
}
