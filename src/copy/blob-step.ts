import { comesEarly, planToSend, reuseOptions, type SendOptions, type SendStep, type UsedBlob } from './copy-blob.ts';
import type { ReusedBlob } from '../contract/image-destination.ts';
import type { CopyRun } from './copy-run.ts';

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

/**
 * What a copy will do for a blob, without doing it: nothing is written, mounted or opened for writing. Of a blob that comes in pieces, the tables of
 * contents are read. To be disposed of where it has a plan.
 */
export async function stepOf(run: CopyRun, blob: UsedBlob, options: SendOptions): Promise<BlobStep> {
  const isEarly = comesEarly(run, blob);
  const reused = await run.destination.tryReusingBlobWithOptions(blob.info, {
    ...reuseOptions(run, blob, { lookOnly: false }),
    probe: true,
  });
  if (reused.mountFrom !== undefined) {
    return { kind: 'tryMount', from: reused.mountFrom, ...(reused.reused && { reused }) };
  }
  if (reused.reused) return { kind: 'reuse', reused };
  return isEarly ? { kind: 'whole' } : planToSend(run, blob, options);
}
