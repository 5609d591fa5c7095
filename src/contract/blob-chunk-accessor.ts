import type { Readable } from 'node:stream';
import type { BlobInfo, WaitOptions } from './blob-info.ts';

/** A range of a blob, in bytes. */
export interface ImageSourceChunk {
  readonly offset: number;
  /** At least 1. Only the last chunk of a list may omit it: up to the end of the blob. */
  readonly length?: number | undefined;
}

export interface GetBlobAtOptions extends WaitOptions {
  /**
   * Whether a server that ignores the ranges and sends the whole blob (200) is reported by WholeBlobError, with the blob's stream in it,
   * instead of being sliced. Default false.
   */
  readonly takesWholeBlob?: boolean | undefined;
  /** Whether the readers may be left unread until other requests have brought their bytes. Default false. */
  readonly mayPause?: boolean | undefined;
}

/** What is known of how ranges are answered; who asks for them keeps it up to date, for all blobs of a source. */
export interface RangeSupport {
  /** No network is between: several requests at a time gain nothing. */
  readonly isLocal: boolean;
  /** Whether ranges are answered at all; undefined until tried. */
  ranges: boolean | undefined;
  /** Whether several ranges may be asked for at once; undefined until tried. */
  multiRange: boolean | undefined;
}

/** Gives access to parts of a blob. @see https://pkg.go.dev/go.podman.io/image/v5/internal/private#BlobChunkAccessor */
export interface BlobChunkAccessor {
  readonly rangeSupport: RangeSupport;

  /**
   * Reads ranges of a blob in one request.
   *
   * @param chunks  sorted by offset, not overlapping. An empty list, an empty chunk or any other order is refused before a request is made.
   * @returns one reader a chunk, in the order asked; each is read to its end before the next is taken. Leaving the loop aborts the request.
   *   A failure is thrown from the loop or from the reader, after the bytes that came before it. Every reader gives exactly the bytes
   *   asked, or an error.
   * @throws BadPartialRequestError (from the first step of the loop) when the server refuses the ranges; the caller may ask again with
   *   fewer, larger ones.
   * @throws WholeBlobError (from the first step) as `takesWholeBlob` says.
   * @see https://www.rfc-editor.org/rfc/rfc9110#section-14.6
   */
  getBlobAt(info: BlobInfo, chunks: readonly ImageSourceChunk[], options?: GetBlobAtOptions): AsyncIterable<Readable>;

  /** The blob from its first byte on, where ranges of it are refused. Absent where that is not worth it: the caller does without the blob. */
  getBlob?(info: BlobInfo, options?: WaitOptions): Promise<BlobStream>;
}

export interface BlobStream {
  /** Unverified; to be read to its end or destroyed. */
  readonly stream: Readable;
  /** In bytes, as the transport says; undefined when it does not. */
  readonly size: number | undefined;
  /** What a server says of the bytes' encoding, true or not. */
  readonly contentEncoding?: string | undefined;
}
