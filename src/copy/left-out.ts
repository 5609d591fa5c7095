import type { BlobInfo, LeftOutBlobs } from '../contract/blob-info.ts';
import { duringOperation, ImgcopyError } from '../errors/imgcopy-error.ts';
import { printable } from '../errors/printable.ts';
import type { Digest } from '../digest/digest.ts';
import { decide, type CopyImageOptions } from './copy-decision.ts';
import type { CopyRun, PreparedRun } from './copy-run.ts';
import { blobsOf } from './image-blobs.ts';
import { readManifestTree, type ManifestNode } from './manifest-tree.ts';

/**
 * Makes sure that the destination has what the source was made without, before it begins.
 * @throws ImgcopyError ERR_LEFT_OUT_BLOBS (kind `not-found`) that names what it does not have.
 */
export async function refuseWithoutLeftOut(
  prepared: PreparedRun,
  leftOut: LeftOutBlobs,
  options: CopyImageOptions,
): Promise<void> {
  // The copy itself says again what there is to say.
  const quiet = { ...prepared, emit: () => undefined };
  const decision = await decide(quiet, options);
  if (decision.kind !== 'copy') return;
  const run: CopyRun = { ...quiet, cache: await prepared.openCache() };
  const { wanted } = decision.subject;
  const needed = new Map<Digest, BlobInfo>();
  for await (const info of blobsBelow(run, readManifestTree(run, wanted, { only: wanted.only }))) {
    if (leftOut.digests.has(info.digest)) needed.set(info.digest, info);
  }
  const checks = [...needed.values()].map(async (info) => ((await isObtainable(run, info)) ? [] : [info.digest]));
  const missing = (await Promise.all(checks)).flat();
  if (missing.length > 0) throw lacks(run, leftOut, missing);
}

async function* blobsBelow(run: CopyRun, node: ManifestNode): AsyncGenerator<BlobInfo> {
  if (!('instances' in node)) {
    for (const { info } of await blobsOf(run, node)) yield info;
    return;
  }
  yield* node.blobs;
  for (const instance of node.instances) yield* blobsBelow(run, await instance);
}

/** Whether the destination has a blob, or another repository of its registry may have it. */
async function isObtainable({ destination, cache, signal }: CopyRun, info: BlobInfo): Promise<boolean> {
  try {
    const found = await destination.tryReusingBlobWithOptions(info, { cache, signal, probe: true });
    return found.reused || found.mountFrom !== undefined;
  } catch (error) {
    throw duringOperation(`looking for blob ${info.digest} in ${destination.reference}`, error);
  }
}

/** How many digests a message lists. */
const MAX_LISTED = 20;

function lacks({ source, destination }: CopyRun, { since }: LeftOutBlobs, missing: readonly Digest[]): ImgcopyError {
  const more = missing.length > MAX_LISTED ? ` and ${missing.length - MAX_LISTED} more` : '';
  const list = `${missing.slice(0, MAX_LISTED).join(', ')}${more}`;
  const [base] = since;
  const first = base === undefined ? 'the image that it builds on' : printable(base);
  return new ImgcopyError(
    `${source.reference} leaves out layers that ${destination.reference} does not have, so nothing was written: ${list}`,
    {
      code: 'ERR_LEFT_OUT_BLOBS',
      kind: 'not-found',
      side: 'destination',
      hint: `copy ${first} there first, or write the archive again without --since`,
    },
  );
}
