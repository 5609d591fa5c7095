import type { Digest } from '../digest/digest.ts';
import type { BlobInfo } from '../contract/blob-info.ts';
import { asUsed, planToSend, type BlobToCopy, type SendStep } from './copy-blob.ts';
import type { CopyRun } from './copy-run.ts';
import { blobsOf } from './image-blobs.ts';
import type { ManifestNode } from './manifest-tree.ts';
import { partsOf } from './meter.ts';

/** What a copy will try first for a blob. */
export type BlobStep =
  | { readonly kind: 'reuse' }
  /** From another repository of the destination's registry. */
  | { readonly kind: 'tryMount'; readonly from: string }
  | SendStep;

export interface PlannedBlob {
  readonly info: BlobInfo;
  readonly step: BlobStep;
}

/**
 * What a copy will do for each blob of an image, without doing any of it: the destination is asked for a blob when its step is wanted, and nothing is
 * written, mounted or opened. Of a blob that is planned in pieces, the tables of contents are read; what the plan holds of them is let go when the next
 * step is wanted.
 */
export async function* planBlobs(
  run: CopyRun,
  node: ManifestNode,
  seen: Set<Digest> = new Set(),
): AsyncGenerator<PlannedBlob> {
  if ('instances' in node) {
    for (const instance of node.instances) yield* planBlobs(run, await instance, seen);
    return;
  }
  for (const blob of await blobsOf(run, node)) {
    if (seen.has(blob.info.digest)) continue;
    seen.add(blob.info.digest);
    const step = await stepOf(run, blob);
    try {
      yield { info: blob.info, step };
    } finally {
      if (step.kind === 'partial') step.plan?.[Symbol.dispose]();
    }
  }
}

async function stepOf(run: CopyRun, blob: BlobToCopy): Promise<BlobStep> {
  const { source, destination, cache, signal } = run;
  const srcRef = source.servedFrom?.(blob.info.digest);
  const found = await destination.tryReusingBlobWithOptions(blob.info, { cache, srcRef, signal, probe: true });
  if (found.reused) return { kind: 'reuse' };
  if (found.mountFrom !== undefined) return { kind: 'tryMount', from: found.mountFrom };
  return planToSend(run, asUsed(blob), { accessor: partsOf(source), memory: run.memory.openAccount() });
}
