import type { Readable } from 'node:stream';
import type { BlobInfo, WaitOptions } from './blob-info.ts';

/** A range of a blob, in bytes. */
export interface ImageSourceChunk {
  readonly offset: number;
  /** At least 1. Only the last chunk of a list may omit it: up to the end of the blob. */
  readonly length?: number | undefined;
}

export interface GetBlobAtOptions extends WaitOptions {}

/** Gives access to parts of a blob. @see https://pkg.go.dev/go.podman.io/image/v5/internal/private#BlobChunkAccessor */
export interface BlobChunkAccessor {
  /**
   * Reads ranges of a blob in one request.
   *
   * @param chunks  sorted by offset, not overlapping. An empty list, an empty chunk or any other order is refused before a request is made.
   * @returns one reader a chunk, in the order asked; each is read to its end before the next is taken. Leaving the loop aborts the request.
   *   A failure is thrown from the loop or from the reader, after the bytes that came before it. Every reader gives exactly the bytes
   *   asked, or an error.
   * @throws BadPartialRequestError (from the first step of the loop) when the server refuses the ranges; the caller may ask again with
   *   fewer, larger ones.
   * @see https://www.rfc-editor.org/rfc/rfc9110#section-14.6
   */
  getBlobAt(info: BlobInfo, chunks: readonly ImageSourceChunk[], options?: GetBlobAtOptions): AsyncIterable<Readable>;
}
