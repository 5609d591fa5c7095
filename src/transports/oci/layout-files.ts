import { join } from 'node:path';
import type { Digest } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import type { ImagePlace } from '../../local/image-files.ts';
import { type ExpectedManifest, readManifestFile, type StoredManifest } from '../../local/manifest-file.ts';
import { readRegularFile } from '../../local/regular-file.ts';
import {
  checkLayoutFile,
  INDEX_FILE,
  LAYOUT_FILE,
  layoutBlobPath,
  MAX_LAYOUT_FILE_BYTES,
} from '../../manifest/image-layout.ts';
import { MAX_MANIFEST_BYTES } from '../../manifest/parse-manifest.ts';

/** A manifest of which the digest is known, and perhaps more: a descriptor is one. */
export type KnownManifest = ExpectedManifest & { readonly digest: Digest };

/** Where the files of images lie in a layout: manifests are blobs. */
export function layoutPlace(directory: string): ImagePlace {
  return { directory, blobFile: layoutBlobPath, manifestFile: layoutBlobPath };
}

/**
 * Checks `oci-layout`.
 * @param reference  the layout as the user names it: `oci:lay`.
 * @returns false where there is none.
 * @throws ImgcopyError ERR_LAYOUT_VERSION, ERR_INVALID_LAYOUT, ERR_NOT_A_FILE
 */
export async function hasLayoutFile(directory: string, reference: string): Promise<boolean> {
  const bytes = await readLayoutFile(directory, LAYOUT_FILE, { reference, limit: MAX_LAYOUT_FILE_BYTES });
  if (bytes === undefined) return false;
  checkLayoutFile(bytes, reference);
  return true;
}

/**
 * Reads `index.json`.
 * @returns its bytes, or undefined where there is none.
 * @throws ImgcopyError ERR_INVALID_LAYOUT where it is too large, ERR_NOT_A_FILE
 */
export async function readIndexFile(directory: string, reference: string): Promise<Buffer | undefined> {
  return await readLayoutFile(directory, INDEX_FILE, { reference, limit: MAX_MANIFEST_BYTES });
}

/**
 * Reads a manifest of a layout; undefined where it is not there.
 * @throws InvalidManifestError, ContentMismatchError
 */
export async function readLayoutManifest(
  directory: string,
  expected: KnownManifest,
): Promise<StoredManifest | undefined> {
  return await readManifestFile(manifestPath(directory, expected.digest), expected);
}

/** The path of a manifest's file. */
export function manifestPath(directory: string, digest: Digest): string {
  return join(directory, layoutBlobPath(digest));
}

async function readLayoutFile(
  directory: string,
  name: string,
  { reference, limit }: { readonly reference: string; readonly limit: number },
): Promise<Buffer | undefined> {
  return await readRegularFile(join(directory, name), {
    limit,
    tooLarge: (size) =>
      new ImgcopyError(`the ${name} file of ${reference} has ${size} bytes, more than ${limit}`, {
        code: 'ERR_INVALID_LAYOUT',
        hint: 'write the layout again, or use another one',
      }),
  });
}
