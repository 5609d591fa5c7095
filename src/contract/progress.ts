import type { Digest } from '../digest/digest.ts';

/** What became of a blob. `left-out`: it is not written, for whoever reads the archive has it. */
export type BlobOutcome = 'reused' | 'left-out' | 'mounted' | 'substituted' | 'partial' | 'copied';

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
      /** `host[:port]/name` that it was read from, where that is a registry. */
      readonly from?: string | undefined;
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
      /** `host[:port]/name` that it was mounted or read from, where that is a registry. */
      readonly from?: string | undefined;
    }
  /** An address of the source (a mirror) did not give something, and the next one is asked for it. */
  | {
      readonly type: 'fallback';
      readonly address: string;
      readonly what: string;
      readonly why: string;
      readonly next: string;
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
