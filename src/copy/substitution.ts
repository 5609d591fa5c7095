import type { Digest } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import type { Replacement } from '../manifest/edit-manifest.ts';
import { substitutedMediaType } from '../manifest/layer-compression.ts';
import type { BlobToCopy, CopiedBlob } from './blob-to-copy.ts';
import type { CopyRun } from './copy-run.ts';

/** The layers for which the destination gave other blobs of the same content, and what the manifest has to say of these. */
export function replacementsOf(
  run: CopyRun,
  copied: readonly { readonly blob: BlobToCopy; readonly copy: CopiedBlob }[],
): ReadonlyMap<Digest, Replacement> {
  const replacements = new Map<Digest, Replacement>();
  for (const { blob, copy } of copied) {
    const { info } = blob;
    const algorithm = copy.reused?.compressionAlgorithm;
    if (copy.digest === info.digest || algorithm === undefined) continue;
    const mediaType = substitutedMediaType(info.mediaType ?? '', algorithm);
    if (mediaType === undefined) throw new Error(`${algorithm} cannot stand in for ${info.mediaType}`);
    replacements.set(info.digest, { digest: copy.digest, size: copy.size, mediaType });
    run.emit({
      type: 'warning',
      message: `layer ${info.digest} is substituted by ${copy.digest} (${algorithm}): the manifest changes`,
    });
  }
  return replacements;
}

/** @throws ImgcopyError of kind `usage` where substitution is asked for and something forbids that the manifest changes. */
export function refuseSubstitution(forbidden: {
  readonly preserveDigests?: boolean | undefined;
  readonly isSigned: boolean;
  /** What refers to the image, by its digest, comes along. */
  readonly isReferredTo?: boolean | undefined;
  readonly destinationDigest?: string | undefined;
}): void {
  const reason = forbidden.preserveDigests
    ? 'digests are to be preserved'
    : forbidden.isSigned
      ? 'the image is signed'
      : forbidden.destinationDigest !== undefined
        ? `the destination names the digest ${forbidden.destinationDigest}`
        : forbidden.isReferredTo
          ? 'what refers to the image comes along'
          : undefined;
  if (reason === undefined) return;
  throw new ImgcopyError(`blobs cannot be substituted: ${reason}`, {
    code: 'ERR_SUBSTITUTION_REFUSED',
    kind: 'usage',
    hint: 'leave out --substitute',
  });
}
