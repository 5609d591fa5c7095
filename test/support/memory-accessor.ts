import { Readable } from 'node:stream';
import type { BlobChunkAccessor, GetBlobAtOptions, ImageSourceChunk } from '../../src/types/blob-chunk-accessor.ts';
import type { BlobInfo } from '../../src/types/blob-info.ts';

/** Gives parts of a blob in memory, and notes what it was asked for. */
export class MemoryAccessor implements BlobChunkAccessor {
  readonly #bytes: Buffer;
  /** Each request's chunks. */
  readonly requests: (readonly ImageSourceChunk[])[] = [];
  /** Each request's signal. */
  readonly signals: (AbortSignal | undefined)[] = [];

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  async *getBlobAt(
    _info: BlobInfo,
    chunks: readonly ImageSourceChunk[],
    options: GetBlobAtOptions = {},
  ): AsyncGenerator<Readable> {
    this.requests.push(chunks);
    this.signals.push(options.signal);
    for (const { offset, length = this.#bytes.length - offset } of chunks) {
      if (offset < 0 || length < 1 || offset + length > this.#bytes.length) {
        throw new RangeError(`${offset}+${length} is not inside ${this.#bytes.length} bytes`);
      }
      // In two parts, for no reader may count on getting all at once.
      const middle = offset + Math.floor(length / 2);
      yield Readable.from([this.#bytes.subarray(offset, middle), this.#bytes.subarray(middle, offset + length)], {
        objectMode: false,
      });
    }
  }
}
