import { readRegularFile } from './regular-file.ts';
import { ContentMismatchError, type Digest, digestAlgorithm } from '../digest/digest.ts';
import {
  InvalidManifestError,
  type Manifest,
  manifestDigest,
  MAX_MANIFEST_BYTES,
  parseManifest,
} from '../manifest/parse-manifest.ts';
import type { RawManifest } from '../contract/blob-info.ts';

/** A manifest as it lies in a file, and what it says. */
export interface StoredManifest {
  readonly raw: RawManifest;
  readonly manifest: Manifest;
}

/** What is known of a manifest before it is read. */
export interface ExpectedManifest {
  readonly digest?: Digest | undefined;
  readonly mediaType?: string | undefined;
  /** In bytes. */
  readonly size?: number | undefined;
}

/**
 * Reads a manifest; undefined where there is no file.
 * @throws InvalidManifestError, or ContentMismatchError when its bytes are not those of the digest.
 */
export async function readManifestFile(
  path: string,
  { digest: expected, mediaType: declared, size }: ExpectedManifest = {},
): Promise<StoredManifest | undefined> {
  const bytes = await readManifestBytes(path, size);
  if (bytes === undefined) return undefined;
  const manifest = parseManifest(bytes, declared);
  const { mediaType } = manifest;
  const digest = manifestDigest(bytes, mediaType, expected && digestAlgorithm(expected));
  if (expected !== undefined && digest !== expected) {
    throw new ContentMismatchError(`manifest ${path} does not match its digest`, expected, digest);
  }
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
