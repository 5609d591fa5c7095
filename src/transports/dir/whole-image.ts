import { ContentMismatchError } from '../../digest/digest.ts';
import { InvalidManifestError } from '../../manifest/parse-manifest.ts';
import type { CurrentManifest } from '../../types/image-destination.ts';
import { imageFiles, isPresent } from './image-files.ts';
import { readImageManifest } from './manifest-file.ts';

/** The manifest of the image in a directory, if all that belongs to it is there. A damaged image counts as none: it will be replaced. */
export async function wholeImage(directory: string): Promise<CurrentManifest | undefined> {
  try {
    const stored = await readImageManifest(directory);
    if (stored === undefined) return undefined;
    const files = await imageFiles(directory, stored.manifest);
    const present = await Promise.all(files.map((file) => isPresent(directory, file)));
    return present.every(Boolean) ? stored.raw : undefined;
  } catch (error) {
    if (error instanceof InvalidManifestError || error instanceof ContentMismatchError) return undefined;
    throw error;
  }
}
