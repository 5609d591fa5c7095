import { comesEarly, planToSend, reuseOptions, type SendOptions, type SendStep, type UsedBlob } from './copy-blob.ts';
import type { ReusedBlob } from '../contract/image-destination.ts';
import type { CopyRun } from './copy-run.ts';
import type { BlobShare } from './shared-reads.ts';

/** What a copy will try first for a blob. */
export type BlobStep =
  | { readonly kind: 'reuse'; readonly reused: Extract<ReusedBlob, { reused: true }> }
  /** From another repository of the destination's registry. */
  | {
      readonly kind: 'tryMount';
      readonly from: string;
      /** Set where nothing has to be sent even if the registry declines: the blob itself, or one of the same content, was found. */
      readonly reused?: Extract<ReusedBlob, { reused: true }> | undefined;
    }
  | SendStep;

export interface StepOptions extends SendOptions {
  /** Where the blob goes to other destinations as well. */
  readonly share: BlobShare | undefined;
}

/**
 * What a copy will do for a blob, without doing it: nothing is written, mounted or opened for writing. Of a blob that comes in pieces, the tables of
 * contents are read. To be disposed of where it has a plan.
 */
export async function stepOf(run: CopyRun, blob: UsedBlob, options: StepOptions): Promise<BlobStep> {
  const { share } = options;
  const isEarly = share === undefined && comesEarly(run, blob);
  const followed = await share?.follow(run.signal);
  const reused = await run.destination.tryReusingBlobWithOptions(blob.info, {
    ...reuseOptions(run, blob, { lookOnly: false, from: followed?.repository }),
    probe: true,
  });
  if (reused.mountFrom !== undefined) {
    return { kind: 'tryMount', from: reused.mountFrom, ...(reused.reused && { reused }) };
  }
  if (reused.reused) return { kind: 'reuse', reused };
  // It is not there yet; the copy to the other destination brings it to the very same place.
  if (followed !== undefined)
    return { kind: 'reuse', reused: { reused: true, digest: blob.info.digest, size: blob.info.size } };
  return isEarly ? { kind: 'whole' } : planToSend(run, blob, options);
}
