import { join } from 'node:path';
import { readRegularFile } from '../../local/regular-file.ts';
import { ContentMismatchError, type Digest, digestAlgorithm } from '../../digest/digest.ts';
import {
  InvalidManifestError,
  type Manifest,
  manifestDigest,
  MAX_MANIFEST_BYTES,
  parseManifest,
} from '../../manifest/parse-manifest.ts';
import type { RawManifest } from '../../contract/blob-info.ts';
import { MANIFEST_FILE, manifestFileName } from './layout.ts';

/** A manifest as it lies in a directory, and what it says. */
export interface StoredManifest {
  readonly raw: RawManifest;
  readonly manifest: Manifest;
}

/**
 * Reads the image's own manifest; undefined where there is none.
 * @throws InvalidManifestError
 */
export async function readImageManifest(directory: string): Promise<StoredManifest | undefined> {
  const bytes = await readManifestBytes(join(directory, MANIFEST_FILE));
  if (bytes === undefined) return undefined;
  const manifest = parseManifest(bytes);
  const { mediaType } = manifest;
  return { raw: { bytes, mediaType, digest: manifestDigest(bytes, mediaType) }, manifest };
}

/**
 * Reads the manifest of an instance; undefined where it is not there.
 * @param options  what the index says of it; the size in bytes.
 * @throws InvalidManifestError, or ContentMismatchError when its bytes are not those of the digest.
 */
export async function readInstanceManifest(
  directory: string,
  digest: Digest,
  {
    declaredMediaType,
    size,
  }: { readonly declaredMediaType?: string | undefined; readonly size?: number | undefined } = {},
): Promise<StoredManifest | undefined> {
  const path = join(directory, manifestFileName(digest));
  const bytes = await readManifestBytes(path, size);
  if (bytes === undefined) return undefined;
  const manifest = parseManifest(bytes, declaredMediaType);
  const { mediaType } = manifest;
  const found = manifestDigest(bytes, mediaType, digestAlgorithm(digest));
  if (found !== digest) throw new ContentMismatchError(`manifest ${path} does not match its digest`, digest, found);
  return { raw: { bytes, mediaType, digest }, manifest };
}

async function readManifestBytes(path: string, expected: number = MAX_MANIFEST_BYTES): Promise<Buffer | undefined> {
  return await readRegularFile(path, {
    limit: Math.min(expected, MAX_MANIFEST_BYTES),
    tooLarge: (size) =>
      size > MAX_MANIFEST_BYTES
        ? new InvalidManifestError(`${path} has ${size} bytes, more than ${MAX_MANIFEST_BYTES}`)
        : new ContentMismatchError(`manifest ${path} has the wrong size`, `${expected} bytes`, `${size} bytes`),
  });
}
