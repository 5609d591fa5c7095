import type { LeftOutBlobs, RawManifest, WaitOptions } from '../../contract/blob-info.ts';
import { ContentMismatchError, type Digest, digestAlgorithm } from '../../digest/digest.ts';
import {
  InvalidManifestError,
  manifestDigest,
  MAX_MANIFEST_BYTES,
  parseManifest,
} from '../../manifest/parse-manifest.ts';
import { type Archive, readSmall } from './archive.ts';

/** An image in an archive, and where its parts are. */
export interface ArchiveImage {
  readonly manifest: RawManifest;
  /** The name of the member that holds a manifest or blob; undefined for what the archive does not name. */
  readonly memberOf: (digest: Digest) => string | undefined;
  /** Its name there, or its tag. Undefined where it has none. */
  readonly tag?: string | undefined;
  /** As docker stores it. Undefined where it has none. */
  readonly fullName?: string | undefined;
  /** Whether some of the images that its index names were left out of the archive. */
  readonly isSparse?: boolean | undefined;
  /** What the archive was made without. */
  readonly leftOut?: LeftOutBlobs | undefined;
}

/** What of an archive is meant. Both: the image under this name, which must have this digest. */
export interface WantedImage {
  readonly name?: string | undefined;
  readonly digest?: Digest | undefined;
}

/** A manifest that something names. */
export interface NamedManifest {
  readonly digest: Digest;
  /** In bytes. */
  readonly size?: number | undefined;
  readonly mediaType?: string | undefined;
}

/**
 * Reads a manifest out of an archive; undefined where the member is not there.
 * @throws InvalidManifestError, or ContentMismatchError where its bytes are not those of the digest.
 */
export async function readManifest(
  archive: Archive,
  member: string,
  { digest, size, mediaType: declared }: NamedManifest,
  options: WaitOptions = {},
): Promise<RawManifest | undefined> {
  const { reference } = archive;
  const tooLarge = (found: number): Error =>
    new InvalidManifestError(`${member} in ${reference} has ${found} bytes, more than ${MAX_MANIFEST_BYTES}`);
  const bytes = await readSmall(archive, member, { ...options, tooLarge });
  if (bytes === undefined) return undefined;
  if (size !== undefined && bytes.length !== size) {
    const what = `manifest ${digest} in ${reference} has the wrong size`;
    throw new ContentMismatchError(what, `${size} bytes`, `${bytes.length} bytes`);
  }
  const { mediaType } = parseManifest(bytes, declared);
  const found = manifestDigest(bytes, mediaType, digestAlgorithm(digest));
  if (found === digest) return { bytes, mediaType, digest };
  throw new ContentMismatchError(`manifest ${digest} in ${reference} does not match its digest`, digest, found);
}
