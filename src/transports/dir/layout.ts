import { join } from 'node:path';
import { type Digest, digestAlgorithm, digestHex } from '../../digest/digest.ts';
import type { ImagePlace } from '../../local/image-files.ts';
import { readManifestFile, type StoredManifest } from '../../local/manifest-file.ts';

/** The image's own manifest: the directory holds an image from the moment on that this is there. */
export const MANIFEST_FILE = 'manifest.json';

/** Says which version of the layout the directory has. @see ./layout-version.ts */
export const VERSION_FILE = 'version';

const DIGEST_NAME = '[0-9a-f]{64}|(?:sha512-)?[0-9a-f]{128}';
const IMAGE_FILE = new RegExp(`^(?:(?:${DIGEST_NAME})(?:\\.manifest\\.json)?|${MANIFEST_FILE}|${VERSION_FILE})$`);
const SIGNATURE_FILE = new RegExp(`^(?:(${DIGEST_NAME})\\.)?signature-[1-9]\\d*$`);

/** The name of a layer or config: `<hex>`, with the algorithm before it where that is not sha256. */
export function blobFileName(digest: Digest): string {
  const algorithm = digestAlgorithm(digest);
  return algorithm === 'sha256' ? digestHex(digest) : `${algorithm}-${digestHex(digest)}`;
}

/** The name of the manifest of an index's instance. */
export function manifestFileName(digest: Digest): string {
  return `${blobFileName(digest)}.manifest.json`;
}

/** Whether a name is one of the layout, whichever tool wrote it. */
export function isLayoutName(name: string): boolean {
  return IMAGE_FILE.test(name) || SIGNATURE_FILE.test(name);
}

/**
 * Which manifest a signature signs, by the name of the signature's file.
 * @returns the name of the manifest's file, or undefined when the name is not one of a signature.
 */
export function signedManifestFile(name: string): string | undefined {
  const match = SIGNATURE_FILE.exec(name);
  if (match === null) return undefined;
  return match[1] === undefined ? MANIFEST_FILE : `${match[1]}.manifest.json`;
}

/** Where the files of an image lie in a directory of this layout. */
export function imagePlace(directory: string): ImagePlace {
  return { directory, blobFile: blobFileName, manifestFile: manifestFileName };
}

/**
 * Reads the image's own manifest; undefined where there is none.
 * @throws InvalidManifestError
 */
export async function readImageManifest(directory: string): Promise<StoredManifest | undefined> {
  return await readManifestFile(join(directory, MANIFEST_FILE));
}
