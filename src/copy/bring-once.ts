import type { BlobToCopy, CopiedBlob, CopyBlobOptions } from './blob-to-copy.ts';
import { copyBlob } from './copy-blob.ts';
import type { CopyRun } from './copy-run.ts';

/** Copies a blob, unless another copy between the same repositories has brought it: then no request is made. To be a run's `bringBlob`. */
export async function bringOnce(run: CopyRun, blob: BlobToCopy, options: CopyBlobOptions): Promise<CopiedBlob> {
  const { content } = run;
  const copy = (): Promise<CopiedBlob> => copyBlob(run, blob, options);
  if (content === undefined || options.isDoubted === true || blob.substitutable !== undefined) return copy();
  return (await content.once(blob.info.digest, copy)) ?? broughtBefore(run, blob);
}

function broughtBefore({ emit }: CopyRun, { info: { digest, size }, name }: BlobToCopy): CopiedBlob {
  const copied = { outcome: 'reused', bytesFetched: 0, bytesReused: size, bytesResumed: 0 } as const;
  emit({ type: 'blob-started', digest, size, name });
  emit({ type: 'blob-done', digest, size, ...copied });
  return { digest, size, ...copied };
}
