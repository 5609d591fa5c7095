import type { Readable } from 'node:stream';
import type { BlobInfo, WaitOptions } from './blob-info.ts';
import type { BadPartialRequestError } from './errors.ts';

/** A range of a blob, in bytes. */
export interface ImageSourceChunk {
  readonly offset: number;
  /** At least 1. Only the last chunk of a list may omit it: up to the end of the blob. */
  readonly length?: number | undefined;
}

/** A range whose length is known: at least one byte. */
export interface BlobRange extends ImageSourceChunk {
  readonly length: number;
}

export interface GetBlobAtOptions extends WaitOptions {
  /** Whether the readers may be left unread until other requests have brought their bytes. Default false. */
  readonly mayPause?: boolean | undefined;
  /** Whether who reads keeps none of the bytes, and gives them back (`io/slabs.ts`). Default false. */
  readonly givesBack?: boolean | undefined;
}

/** What an answer has shown of how ranges are answered. */
export interface SeenRangeSupport {
  /** Whether ranges are answered at all; undefined until tried. */
  readonly ranges?: boolean | undefined;
  /** Whether several ranges may be asked for at once; undefined until tried. */
  readonly multiRange?: boolean | undefined;
}

/** What is known of how ranges are answered, for all blobs of a source. */
export interface RangeSupport extends SeenRangeSupport {
  /** No network is between: several requests at a time gain nothing. */
  readonly isLocal: boolean;
  /** The ranges come out of a read that is shared with others: they are asked for at once, and passed on as they come. Default false. */
  readonly isShared?: boolean | undefined;
  /** The shortest time, in ms, in which the host that has the blobs answered a request of any kind; undefined while that is not known. */
  readonly roundTripMs?: number | undefined;
  /** Takes note of what an answer has shown. Only who asked can tell, for it chose the ranges. */
  report(seen: SeenRangeSupport): void;
}

/** Of files: they give any ranges. */
export const LOCAL_RANGES: RangeSupport = { isLocal: true, ranges: true, multiRange: true, report: () => undefined };

/** The answer to a request for ranges of a blob. */
export type RangeAnswer =
  /** One reader a chunk, in the order asked; each is read to its end before the next is taken. Leaving the loop ends the request. */
  { readonly kind: 'ranges'; readonly readers: AsyncIterable<Readable> } | UnansweredRanges;

/** The server gives other than the ranges. */
export type UnansweredRanges =
  /** It ignores them: the blob from its first byte on, unverified; to be read to its end or destroyed. */
  | { readonly kind: 'whole'; readonly stream: Readable }
  /** It refuses these ranges: who asked may ask again with fewer, larger ones. */
  | { readonly kind: 'refused'; readonly reason: BadPartialRequestError };

/** Gives access to parts of a blob. @see https://pkg.go.dev/go.podman.io/image/v5/internal/private#BlobChunkAccessor */
export interface BlobChunkAccessor {
  readonly rangeSupport: RangeSupport;

  /**
   * Reads ranges of a blob in one request.
   *
   * @param chunks  sorted by offset, not overlapping. An empty list, an empty chunk or any other order is refused before a request is made.
   * @returns when the first bytes are there, or a refusal. Every reader gives exactly the bytes asked, or an error: a failure is thrown from the loop
   *   or from the reader, after the bytes that came before it.
   * @see https://www.rfc-editor.org/rfc/rfc9110#section-14.6
   */
  getBlobAt(info: BlobInfo, chunks: readonly ImageSourceChunk[], options?: GetBlobAtOptions): Promise<RangeAnswer>;

  /** The blob from its first byte on, where ranges of it are refused. Absent where that is not worth it: the caller does without the blob. */
  getBlob?(info: BlobInfo, options?: WaitOptions): Promise<BlobStream>;
}

export interface BlobStream {
  /** Unverified; to be read to its end or destroyed. */
  readonly stream: Readable;
  /** The same bytes for who reads them to their end at once, in place of the stream. Absent where that is as good. */
  readonly chunks?: AsyncIterable<Buffer> | undefined;
  /** In bytes, as the transport says; undefined when it does not. */
  readonly size: number | undefined;
  /** What a server says of the bytes' encoding, true or not. */
  readonly contentEncoding?: string | undefined;
}
