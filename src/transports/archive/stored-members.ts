import type { FileHandle } from 'node:fs/promises';
import { addAbortSignal, type Readable } from 'node:stream';
import type { ImageSourceChunk } from '../../contract/blob-chunk-accessor.ts';
import type { WaitOptions } from '../../contract/blob-info.ts';
import { checkChunks } from '../../contract/check-chunks.ts';
import { ContentMismatchError } from '../../digest/digest.ts';
import type { ByteRange } from '../../io/byte-range.ts';
import { slabStream } from '../../io/slab-stream.ts';
import { SLAB_BYTES } from '../../io/slabs.ts';
import { onRead } from '../../local/disk-error.ts';
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
  stream({ offset, size }: Place, { givesBack = false, signal }: OpenMemberOptions = {}): Readable {
    signal?.throwIfAborted();
    const range = { start: offset, end: offset + size };
    const stream =
      givesBack && size >= SLAB_BYTES ? this.#inSlabs(range) : streamRange(this.#handle, range, this.#path);
    return signal === undefined ? stream : addAbortSignal(signal, stream);
  }

  #inSlabs({ start, end }: ByteRange): Readable {
    let position = start;
    return slabStream(async (room) => {
      if (position === end) return 0;
      const length = Math.min(room.length, end - position);
      const { bytesRead } = await onRead(this.#path, () => this.#handle.read(room, 0, length, position));
      if (bytesRead === 0) {
        const what = 'the file became shorter while it was read';
        throw new ContentMismatchError(what, `${end} bytes`, `${position} bytes`);
      }
      position += bytesRead;
      return bytesRead;
    });
  }

  /** Reads a member whose size the caller has found small enough. */
  async read(place: Place): Promise<Buffer> {
    return Buffer.concat((await this.stream(place).toArray()) as Buffer[]);
  }

  /** Reads ranges of a member: see BlobChunkAccessor.getBlobAt. */
  async *readRanges(
    { offset: start, size }: Place,
    chunks: readonly ImageSourceChunk[],
    { signal }: WaitOptions = {},
  ): AsyncGenerator<Readable> {
    checkChunks(chunks, size);
    for (const { offset, length = size - offset } of chunks) {
      const reader = this.stream({ offset: start + offset, size: length }, { signal });
      try {
        yield reader;
      } finally {
        reader.destroy();
      }
    }
  }
}
