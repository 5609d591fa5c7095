import type { FileHandle } from 'node:fs/promises';
import { addAbortSignal, type Readable } from 'node:stream';
import type { ImageSourceChunk } from '../../contract/blob-chunk-accessor.ts';
import { checkChunks } from '../../contract/check-chunks.ts';
import { streamRange } from '../../local/regular-file.ts';
import type { OpenMemberOptions } from './archive.ts';
import type { Place } from './member-index.ts';

/** Members of an archive that lie in a file. The file is the caller's to close. */
export class StoredMembers {
  readonly #handle: FileHandle;
  readonly #path: string;

  /** @param path  for messages. */
  constructor(handle: FileHandle, path: string) {
    this.#handle = handle;
    this.#path = path;
  }

  /** Streams a member from its first byte to its last. */
  stream({ offset, size }: Place, { givesBack, signal }: OpenMemberOptions = {}): Readable {
    signal?.throwIfAborted();
    const stream = streamRange(this.#handle, { start: offset, end: offset + size }, this.#path, { givesBack });
    return signal === undefined ? stream : addAbortSignal(signal, stream);
  }

  /** Reads a member whose size the caller has found small enough. */
  async read(place: Place): Promise<Buffer> {
    return Buffer.concat((await this.stream(place).toArray()) as Buffer[]);
  }

  /** Reads ranges of a member: see BlobChunkAccessor.getBlobAt. */
  async *readRanges(
    { offset: start, size }: Place,
    chunks: readonly ImageSourceChunk[],
    options: OpenMemberOptions = {},
  ): AsyncGenerator<Readable> {
    checkChunks(chunks, size);
    for (const { offset, length = size - offset } of chunks) {
      const reader = this.stream({ offset: start + offset, size: length }, options);
      try {
        yield reader;
      } finally {
        reader.destroy();
      }
    }
  }
}
