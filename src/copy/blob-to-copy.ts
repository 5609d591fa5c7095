import type { Digest } from '../digest/digest.ts';
import type { Platform } from '../manifest/descriptor.ts';
import type { BlobInfo } from '../contract/blob-info.ts';
import type { ReusedBlob } from '../contract/image-destination.ts';
import type { BlobOutcome } from '../contract/progress.ts';

/** A blob of an image, and what it is there. */
export interface BlobToCopy {
  readonly info: BlobInfo;
  /** For people: `layer`, `config`. */
  readonly name: string;
  readonly isConfig: boolean;
  readonly layerIndex: number | undefined;
  /** Of the image, where an index says so. */
  readonly platform: Platform | undefined;
  /** Whether another compression of the same content will do, and the manifest that would have to name it. */
  readonly substitutable: { readonly manifestMediaType: string } | undefined;
}

/** How a blob came to the destination. */
export interface CopiedBlob {
  readonly outcome: BlobOutcome;
  /** Of the blob that is there now: another than the one asked for where `outcome` is `substituted`. */
  readonly digest: Digest;
  /** In bytes, as are the others. */
  readonly size: number;
  readonly bytesFetched: number;
  readonly bytesReused: number;
  /** Of `bytesReused`, what an interrupted run had left. Default 0. */
  readonly bytesResumed?: number | undefined;
  readonly reused?: Extract<ReusedBlob, { reused: true }> | undefined;
}

/** How many bytes of a blob are sent or written: what an interrupted run left is not sent again. */
export function bytesUploaded({ outcome, size, bytesResumed = 0 }: CopiedBlob): number {
  return outcome === 'copied' || outcome === 'partial' ? size - bytesResumed : 0;
}

export interface CopyBlobOptions {
  readonly uses?: readonly BlobToCopy[];
  readonly isDoubted?: boolean;
}
