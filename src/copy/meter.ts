import { pipeline, Transform, type Readable, type TransformCallback } from 'node:stream';
import type { BlobChunkAccessor, BlobStream } from '../contract/blob-chunk-accessor.ts';
import type { BlobInfo } from '../contract/blob-info.ts';
import type { ImageSource } from '../contract/image-source.ts';
import type { CopyRun } from './copy-run.ts';

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

  count(stream: Readable): Readable {
    const counter = new Transform({
      readableHighWaterMark: 256 * 1024,
      writableHighWaterMark: 256 * 1024,
      transform: (chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void => {
        this.#add(chunk.length);
        done(null, chunk);
      },
    });
    return pipeline(stream, counter, () => undefined);
  }

  /** The source's blobs, what is read of them counted. Undefined where it gives no parts of blobs. */
  measuring(source: ImageSource): BlobChunkAccessor | undefined {
    const { getBlobAt, rangeSupport } = source;
    if (getBlobAt === undefined || rangeSupport === undefined) return undefined;
    const read = getBlobAt.bind(source);
    const count = (stream: Readable): Readable => this.count(stream);
    return {
      rangeSupport,
      async getBlob(info, options): Promise<BlobStream> {
        const { stream, size } = await source.getBlob(info, options);
        return { stream: count(stream), size };
      },
      async getBlobAt(info, chunks, options) {
        const answer = await read(info, chunks, options);
        if (answer.kind === 'ranges') return { ...answer, readers: each(answer.readers, count) };
        return answer.kind === 'whole' ? { ...answer, stream: count(answer.stream) } : answer;
      },
    };
  }

  #add(length: number): void {
    this.#bytes += length;
    this.#shown += length;
    this.#run.emit({ type: 'blob-progress', digest: this.#info.digest, bytes: this.#shown });
  }
}

async function* each<T>(items: AsyncIterable<T>, change: (item: T) => T): AsyncGenerator<T> {
  for await (const item of items) yield change(item);
}
