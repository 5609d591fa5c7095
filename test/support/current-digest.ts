import type { Digest } from '../../src/digest/digest.ts';
import type { CurrentManifestOptions, ImageDestination } from '../../src/contract/image-destination.ts';

/** The digest of the image under a destination's name, or undefined where there is none that is known. */
export async function currentDigest(
  destination: ImageDestination,
  options?: CurrentManifestOptions,
): Promise<Digest | undefined> {
  const presence = await destination.currentManifest(options);
  return presence.state === 'present' ? presence.manifest.digest : undefined;
}
