import type { Readable } from 'node:stream';
import type { BlobChunkAccessor } from '../contract/blob-chunk-accessor.ts';
import type { BlobInfo } from '../contract/blob-info.ts';
import type {
  ImageDestination,
  PartialBlob,
  PartialPlan,
  PutBlobInfo,
  PutBlobOptions,
  PutBlobPartialOptions,
  ReusedBlob,
  TryReusingBlobOptions,
  UploadedBlob,
} from '../contract/image-destination.ts';
import type { OldLayers } from '../partial/plan/old-layers.ts';
import { planOrNone } from '../partial/plan/partial-plan.ts';
import type { LocalBlobStore, StoredPlanInput } from './blob-store.ts';

export interface LocalBlobLadderOptions {
  readonly blobs: LocalBlobStore;
  /** Where pieces of a new layer may be found. */
  readonly oldLayers: OldLayers;
  /** Whether blobs that are there are hashed before they are reused; else their size has to do. */
  readonly force: boolean;
}

/** How a destination in a directory gets its blobs: the members of an ImageDestination that are about them. */
export class LocalBlobLadder implements Pick<
  ImageDestination,
  'tryReusingBlobWithOptions' | 'planBlobPartial' | 'putBlobPartial' | 'putBlobWithOptions'
> {
  readonly #options: LocalBlobLadderOptions;

  constructor(options: LocalBlobLadderOptions) {
    this.#options = options;
  }

  async tryReusingBlobWithOptions(info: BlobInfo, { signal }: TryReusingBlobOptions): Promise<ReusedBlob> {
    signal?.throwIfAborted();
    const { blobs, force } = this.#options;
    const { digest, size } = info;
    if (!(await blobs.has(info))) return { reused: false };
    if (force && !(await blobs.isSound(info, { signal }))) return { reused: false };
    return { reused: true, digest, size };
  }

  async planBlobPartial(
    accessor: BlobChunkAccessor,
    info: BlobInfo,
    options: PutBlobPartialOptions,
  ): Promise<PartialPlan | undefined> {
    options.signal?.throwIfAborted();
    return await planOrNone(this.#options.blobs.plan(this.#planInput(accessor, info, options)));
  }

  async putBlobPartial(
    accessor: BlobChunkAccessor,
    info: BlobInfo,
    options: PutBlobPartialOptions & { readonly plan?: PartialPlan | undefined },
  ): Promise<PartialBlob> {
    const { cache, plan, signal } = options;
    signal?.throwIfAborted();
    const { digest, size } = info;
    const input = { ...this.#planInput(accessor, info, options), plan };
    const { tail, ...reuse } = await this.#options.blobs.assemble(input);
    if (tail !== undefined) cache?.recordChunkedBlob({ digest, size, format: tail.format });
    return { digest, size, ...reuse };
  }

  /** The stream is destroyed, whatever comes of it. */
  async putBlobWithOptions(stream: Readable, info: PutBlobInfo, { signal }: PutBlobOptions): Promise<UploadedBlob> {
    try {
      signal?.throwIfAborted();
      return await this.#options.blobs.write(stream, info, { signal });
    } finally {
      stream.destroy();
    }
  }

  #planInput(accessor: BlobChunkAccessor, info: BlobInfo, options: PutBlobPartialOptions): StoredPlanInput {
    const { oldLayers } = this.#options;
    const { memory, signal } = options;
    return { accessor, info, candidates: () => oldLayers.find(info, options), memory, signal };
  }
}
