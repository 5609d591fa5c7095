import { Readable } from 'node:stream';
import { LOCAL_RANGES, type BlobChunkAccessor } from '../../contract/blob-chunk-accessor.ts';
import type { BlobInfo, WaitOptions } from '../../contract/blob-info.ts';
import { brokenContract, PartialBlobUnavailableError } from '../../contract/errors.ts';
import type { PartialPlan, PutBlobPartialOptions } from '../../contract/image-destination.ts';
import { ContentMismatchError, type Digest, DigestVerifier } from '../../digest/digest.ts';
import { byteLength } from '../../io/byte-length.ts';
import { inPipeTurns } from '../../io/pipe-turns.ts';
import { onDisk } from '../../local/disk-error.ts';
import { writeFully, writeInBatches } from '../../local/write-in-batches.ts';
import { layoutBlobPath } from '../../manifest/image-layout.ts';
import { assembleBlob } from '../../partial/fetch/assemble-blob.ts';
import { planPartial, type PartialBlobPlan, withPlan } from '../../partial/plan/partial-plan.ts';
import type { PlanBlobInput } from '../../partial/plan/plan-blob.ts';
import type { MemberIndex } from './member-index.ts';
import { scanFile } from './scan-file.ts';
import { WITH_SPACE, type NewFile } from './target-file.ts';

/** Finds the room for blobs in an archive that is complete but for them. */
export async function openPlacedBlobs(file: NewFile, reference: string, options: WaitOptions): Promise<PlacedBlobs> {
  return new PlacedBlobs(file, await scanFile({ ...file, reference, ...options }));
}

/** The blobs of an archive in a file, each written at its place: side by side, and again after a failure. */
export class PlacedBlobs {
  readonly #file: NewFile;
  readonly #index: MemberIndex;

  constructor(file: NewFile, index: MemberIndex) {
    this.#file = file;
    this.#index = index;
  }

  /**
   * Writes a blob from its first byte to its last, verified as it passes.
   * @throws ContentMismatchError, ImgcopyError ERR_DISK_FULL, or the error of the stream. It may be written again then.
   */
  async write(stream: Readable, { digest, size }: BlobInfo, { signal }: WaitOptions): Promise<void> {
    const place = this.#index.find(layoutBlobPath(digest));
    if (place?.size !== size) throw brokenContract(`blob ${digest} of ${size} bytes was not announced`);
    const { handle, path, sync } = this.#file;
    const verifier = new DigestVerifier({ digest, size });
    const write = async (pieces: readonly Uint8Array[]): Promise<void> => {
      const { bytes: before } = verifier;
      const count = byteLength(pieces);
      // Else they would be written over the next blob.
      verifier.expectMore(count);
      await Promise.all([
        onDisk(path, () => writeFully(handle, pieces, place.offset + before), WITH_SPACE),
        inPipeTurns(pieces, (part) => verifier.update(part)),
      ]);
      sync.wrote(count);
    };
    await writeInBatches(stream, write, signal);
    verifier.finish();
  }

  /**
   * Writes a blob that comes by ranges. No other blob has pieces of it.
   * @throws PartialBlobUnavailableError when the blob is best sent as one stream.
   */
  async assemble(
    accessor: BlobChunkAccessor,
    info: BlobInfo,
    options: PutBlobPartialOptions & { readonly plan?: PartialPlan | undefined },
  ): Promise<void> {
    const input = inputOf(accessor, info, options);
    const act = async (plan: PartialBlobPlan): Promise<void> => {
      await using assembly = assembleBlob({ ...input, plan, offset: 0 });
      await this.write(Readable.from(assembly.bytes), info, options);
    };
    try {
      await withPlan(options.plan, () => planRanges(accessor, info, options), act);
    } catch (error) {
      if (!(error instanceof ContentMismatchError)) throw error;
      throw new PartialBlobUnavailableError('the result has another digest', { cause: error });
    }
  }
}

/** Plans how a blob comes by ranges. @throws PartialBlobUnavailableError when it is best sent as one stream. */
export function planRanges(
  accessor: BlobChunkAccessor,
  info: BlobInfo,
  options: PutBlobPartialOptions,
): Promise<PartialBlobPlan> {
  return planPartial(inputOf(accessor, info, options), undefined);
}

function inputOf(
  accessor: BlobChunkAccessor,
  info: BlobInfo,
  { memory, signal }: PutBlobPartialOptions,
): PlanBlobInput {
  return { accessor, info, own: NO_BLOBS, candidates: () => Promise.resolve([]), memory, signal };
}

/** The archive that is replaced is not looked into. */
const NO_BLOBS: BlobChunkAccessor = {
  rangeSupport: { ...LOCAL_RANGES, ranges: false },
  getBlobAt: ({ digest }: { readonly digest: Digest }) => Promise.reject(new Error(`there are no pieces of ${digest}`)),
};
