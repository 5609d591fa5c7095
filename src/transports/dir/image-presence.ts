import { ContentMismatchError } from '../../digest/digest.ts';
import { InvalidManifestError } from '../../manifest/parse-manifest.ts';
import type { ManifestPresence } from '../../contract/image-destination.ts';
import { imageFiles, isPresent } from './image-files.ts';
import { readImageManifest } from './manifest-file.ts';

/**
 * Whether a directory holds an image. One that lacks some of its files counts as absent, for it will be replaced.
 * @param options.digestOnly  the manifest will do, whatever else is there.
 */
export async function imagePresence(
  directory: string,
  { digestOnly = false }: { readonly digestOnly?: boolean | undefined } = {},
): Promise<ManifestPresence> {
  try {
    const stored = await readImageManifest(directory);
    if (stored === undefined) return { state: 'absent' };
    const files = digestOnly ? [] : await imageFiles(directory, stored.manifest);
    const present = await Promise.all(files.map((file) => isPresent(directory, file)));
    return present.every(Boolean) ? { state: 'present', manifest: stored.raw } : { state: 'absent' };
  } catch (error) {
    if (error instanceof InvalidManifestError || error instanceof ContentMismatchError)
      return { state: 'unknown', reason: error };
    throw error;
  }
}
