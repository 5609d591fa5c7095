import type { RetryPolicy } from '../retry/attempts.ts';
import type { MemoryBudget } from '../io/memory.ts';
import type { Pool } from '../io/semaphore.ts';
import type { BlobInfoCache } from '../contract/blob-info-cache.ts';
import type { ImageDestination } from '../contract/image-destination.ts';
import type { ImageSource } from '../contract/image-source.ts';
import type { OnCopyEvent } from '../contract/progress.ts';
import type { BlobToCopy, CopiedBlob, CopyBlobOptions } from './blob-to-copy.ts';
import type { SharingCopy } from './shared-reads.ts';
import type { SharedContent } from './shared-content.ts';

/** When blobs are built from pieces: where it pays, wherever it can be done, or not at all. */
export type PartialMode = 'auto' | 'always' | 'never';

/** What every step of one copy works with. */
export interface CopyRun {
  readonly source: ImageSource;
  readonly destination: ImageDestination;
  /** Opened before the first blob. */
  readonly cache: BlobInfoCache;
  /** Blobs in flight, over all copies that share it. */
  readonly pool: Pool;
  /** Bytes of bodies in memory, over all copies that share it. */
  readonly memory: MemoryBudget;
  readonly policy: RetryPolicy;
  readonly partial: PartialMode;
  /** Whether blobs of the same content in another compression may stand in, and the manifest change with them. */
  readonly substitute: boolean;
  /** Whether layers that are kept at foreign URLs are stored at the destination all the same. */
  readonly includeForeign: boolean;
  /** Whether signatures are left behind. */
  readonly removeSignatures: boolean;
  /** What is done for a blob, in place of copying it. Default: it is copied. */
  readonly bringBlob?: ((run: CopyRun, blob: BlobToCopy, options: CopyBlobOptions) => Promise<CopiedBlob>) | undefined;
  /** The other destinations of the same image, where there are any. */
  readonly sharing?: SharingCopy | undefined;
  /** What other copies between the same repositories have brought. Default: nothing is known of others. */
  readonly content?: SharedContent | undefined;
  readonly emit: OnCopyEvent;
  readonly signal: AbortSignal;
}

/** A run before its first blob: where nothing is to be done, the cache is not needed. */
export interface PreparedRun extends Omit<CopyRun, 'cache'> {
  readonly openCache: () => Promise<BlobInfoCache>;
}
