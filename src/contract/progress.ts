import type { Digest } from '../digest/digest.ts';

/** What became of a blob. */
export type BlobOutcome = 'reused' | 'mounted' | 'substituted' | 'partial' | 'copied';

/** What a copy reports while it runs, and for which destination where that has an id. Sizes are in bytes. */
export type CopyEvent = { readonly destinationId?: string | undefined } & CopyEventOf;

type CopyEventOf =
  | { readonly type: 'started'; readonly source: string; readonly destination: string }
  | {
      readonly type: 'manifest';
      readonly digest: Digest;
      readonly mediaType: string;
      readonly size: number;
      readonly platform: string | undefined;
    }
  /** How many different blobs there are, and their bytes: both grow as manifests are read. */
  | { readonly type: 'planned'; readonly blobs: number; readonly bytes: number }
  | { readonly type: 'blob-started'; readonly digest: Digest; readonly size: number; readonly name: string }
  /** `bytes` of the blob are done so far; it never goes back but when a blob starts again. */
  | { readonly type: 'blob-progress'; readonly digest: Digest; readonly bytes: number }
  /** A large blob comes as one stream from now on, and no longer. */
  | { readonly type: 'blob-stream'; readonly digest: Digest; readonly isOpen: boolean }
  | {
      readonly type: 'blob-done';
      readonly digest: Digest;
      readonly size: number;
      readonly outcome: BlobOutcome;
      readonly bytesFetched: number;
      readonly bytesReused: number;
      /** Of `bytesReused`, what an earlier, interrupted run had left of this blob. */
      readonly bytesResumed: number;
      readonly from?: string | undefined;
    }
  | {
      readonly type: 'retry';
      readonly side: 'source' | 'destination';
      readonly what: string;
      readonly why: string;
      readonly delayMs: number;
    }
  | { readonly type: 'warning'; readonly message: string }
  | { readonly type: 'done'; readonly digest: Digest };

export type OnCopyEvent = (event: CopyEvent) => void;
