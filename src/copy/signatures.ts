import type { Digest } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { isIndexType, isManifestType } from '../manifest/media-types.ts';
import { parseManifest } from '../manifest/parse-manifest.ts';
import type { RawManifest } from '../contract/blob-info.ts';
import type { PreparedRun } from './copy-run.ts';
import { ManifestReader } from './manifest-reader.ts';

type SignatureRun = Pick<PreparedRun, 'source' | 'destination' | 'removeSignatures' | 'pool' | 'signal'>;

/**
 * The signatures that come along with an image, or with an instance of it.
 * @throws ImgcopyError ERR_SIGNATURES_UNSUPPORTED where the destination cannot store them.
 */
export async function signaturesToCopy(run: SignatureRun, instanceDigest?: Digest): Promise<readonly Buffer[]> {
  const { source, destination, signal } = run;
  if (run.removeSignatures || source.getSignaturesWithFormat === undefined) return [];
  const signatures = await source.getSignaturesWithFormat({ instanceDigest, signal });
  if (signatures.length === 0 || destination.putSignaturesWithFormat !== undefined) return signatures;
  const signed = instanceDigest === undefined ? source.reference : `${source.reference}, manifest ${instanceDigest}`;
  throw new ImgcopyError(`${signed} has signatures, but ${destination.reference} cannot store them`, {
    code: 'ERR_SIGNATURES_UNSUPPORTED',
    side: 'destination',
    hint: 'use --remove-signatures to copy without them',
  });
}

/**
 * Puts the signatures of an image that is there already, and of its instances; those that the source does not have go with the commit. Nothing is
 * asked where the destination cannot store them.
 * @param image  undefined: not known; @param signedAs  see signaturesToCopy.
 */
export async function copySignatures(
  run: SignatureRun,
  image: RawManifest | undefined,
  signedAs: Digest | undefined,
): Promise<void> {
  const { destination, signal } = run;
  if (destination.putSignaturesWithFormat === undefined) return;
  await destination.putSignaturesWithFormat(await signaturesToCopy(run, signedAs), { signal });
  if (image !== undefined && !run.removeSignatures)
    await copyInstanceSignatures(run, new ManifestReader(run), image, 0);
}

async function copyInstanceSignatures(
  run: SignatureRun,
  reader: ManifestReader,
  raw: RawManifest,
  depth: number,
): Promise<void> {
  const { destination, signal } = run;
  const manifest = parseManifest(raw.bytes, raw.mediaType);
  if (manifest.kind !== 'index') return;
  const instances = manifest.manifests.filter(({ mediaType }) => isManifestType(mediaType));
  reader.expect(raw, instances, depth);
  for (const entry of instances) {
    const { digest: instanceDigest, mediaType } = entry;
    const signatures = await signaturesToCopy(run, instanceDigest);
    if (signatures.length > 0) await destination.putSignaturesWithFormat?.(signatures, { instanceDigest, signal });
    if (isIndexType(mediaType)) await copyInstanceSignatures(run, reader, await reader.read(entry), depth + 1);
  }
}
