import type { Digest } from '../digest/digest.ts';
import type { BlobInfo } from '../contract/blob-info.ts';
import { wayToSend, type BlobToCopy } from './copy-blob.ts';
import type { CopyRun } from './copy-run.ts';
import { blobsOf } from './image-blobs.ts';
import type { ManifestNode } from './manifest-tree.ts';

/** What a copy will try first for a blob. `partial`: from pieces and ranges, as far as that proves worth it. */
export type BlobStep =
  | { readonly kind: 'reuse' }
  /** From another repository of the destination's registry. */
  | { readonly kind: 'tryMount'; readonly from: string }
  | { readonly kind: 'partial' }
  | { readonly kind: 'whole' };

export interface PlannedBlob {
  readonly info: BlobInfo;
  readonly step: BlobStep;
}

/**
 * What a copy will do for each blob of an image, without doing any of it: the destination is asked for a blob when its step is wanted, and nothing is
 * written, mounted or opened.
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
    yield { info: blob.info, step: await stepOf(run, blob) };
  }
}

async function stepOf(run: CopyRun, blob: BlobToCopy): Promise<BlobStep> {
  const { source, destination, cache, signal } = run;
  const srcRef = source.servedFrom?.(blob.info.digest);
  const found = await destination.tryReusingBlobWithOptions(blob.info, { cache, srcRef, signal, probe: true });
  if (found.reused) return { kind: 'reuse' };
  return found.mountFrom === undefined ? { kind: wayToSend(run, blob) } : { kind: 'tryMount', from: found.mountFrom };
}
