import type { Digest } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { MAX_INDEX_DEPTH } from '../manifest/manifest.ts';
import { isIndexType, isManifestType } from '../manifest/media-types.ts';
import { parseManifest } from '../manifest/parse-manifest.ts';
import type { PreparedRun } from './copy-run.ts';

type SignatureRun = Pick<PreparedRun, 'source' | 'destination' | 'removeSignatures' | 'signal'>;

/**
 * The signatures that come along with an image, or with an instance of it.
 * @throws ImgcopyError ERR_SIGNATURES_UNSUPPORTED where the destination has no place for them.
 */
export async function signaturesToCopy(run: SignatureRun, instanceDigest?: Digest): Promise<readonly Buffer[]> {
  const { source, destination, signal } = run;
  if (run.removeSignatures) return [];
  const signatures = await source.getSignaturesWithFormat({ instanceDigest, signal });
  if (signatures.length === 0 || destination.supportsSignatures()) return signatures;
  const signed = instanceDigest === undefined ? source.reference : `${source.reference}, manifest ${instanceDigest}`;
  throw new ImgcopyError(`${signed} is signed, and ${destination.reference} has no place for its signatures`, {
    code: 'ERR_SIGNATURES_UNSUPPORTED',
    side: 'destination',
    hint: 'copy without them by --remove-signatures',
  });
}

/**
 * Puts the signatures of an image that is there already, and of its instances; those that the source does not have go with the commit.
 * @param bytes  the image's manifest, where it is known; @param signedAs  see signaturesToCopy.
 */
export async function copySignatures(
  run: SignatureRun,
  bytes: Buffer | undefined,
  signedAs: Digest | undefined,
): Promise<void> {
  const { destination, signal } = run;
  await destination.putSignaturesWithFormat(await signaturesToCopy(run, signedAs), { signal });
  if (bytes !== undefined && !run.removeSignatures) await copyInstanceSignatures(run, bytes, 0);
}

async function copyInstanceSignatures(run: SignatureRun, bytes: Buffer, depth: number): Promise<void> {
  const { source, destination, signal } = run;
  const manifest = parseManifest(bytes);
  const instances = manifest.kind === 'index' ? manifest.manifests : [];
  for (const { digest, mediaType } of instances.filter((entry) => isManifestType(entry.mediaType))) {
    const signatures = await signaturesToCopy(run, digest);
    if (signatures.length > 0)
      await destination.putSignaturesWithFormat(signatures, { instanceDigest: digest, signal });
    if (!isIndexType(mediaType) || depth === MAX_INDEX_DEPTH) continue;
    const nested = await source.getManifest({ instanceDigest: digest, signal });
    await copyInstanceSignatures(run, nested.bytes, depth + 1);
  }
}
