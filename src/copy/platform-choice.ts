import type { Digest } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import type { Descriptor, Platform } from '../manifest/descriptor.ts';
import { inlineIndexes } from '../manifest/edit-manifest.ts';
import type { ImageIndex } from '../manifest/manifest.ts';
import { isIndexType } from '../manifest/media-types.ts';
import { parseManifest } from '../manifest/parse-manifest.ts';
import { matchPlatform, PlatformNotFoundError } from '../manifest/platform.ts';
import type { RawManifest } from '../contract/blob-info.ts';
import { platformOfImage } from './config-platform.ts';
import { ManifestReader, type ReadableImage } from './manifest-reader.ts';

/** The entries of an index that are for the platforms wanted. */
export interface PlatformChoice {
  /** The index with the entries of nested indexes in the place of these. */
  readonly bytes: Buffer;
  /** All entries of that, in order. */
  readonly entries: readonly Descriptor[];
  /** One of the entries for each platform wanted. */
  readonly chosen: readonly Descriptor[];
  /** The digests of the indexes in the index, each with the entries in it; an outer one before its inner ones. */
  readonly nested: ReadonlyMap<Digest, readonly Descriptor[]>;
}

/**
 * Chooses images by platform: what an index says of an image counts, and for an image without an index what it says itself. An index
 * inside an index counts as its entries.
 *
 * @returns undefined where the root is an image. One that tells no platform is taken for any.
 * @throws PlatformNotFoundError where a platform has no image.
 */
export async function choosePlatforms(
  image: ReadableImage,
  root: RawManifest,
  platforms: readonly Platform[],
): Promise<PlatformChoice | undefined> {
  const { reference } = image.source;
  const index = parseManifest(root.bytes, root.mediaType);
  if (index.kind !== 'index') {
    const platform = await platformOfImage(image, root);
    if (platform !== undefined) matchEach([{ ...AN_IMAGE, digest: root.digest, platform }], platforms, reference);
    return undefined;
  }
  const nested = new Map<Digest, readonly Descriptor[]>();
  const bytes = await inlined({ reader: new ManifestReader(image), nested }, root, index, 0);
  const entries = entriesOf(bytes, root.mediaType);
  return { bytes, entries, chosen: matchEach(entries, platforms, reference), nested };
}

/** The image for one platform: the root where that is an image, else the instance. See choosePlatforms. */
export async function imageForPlatform(
  image: ReadableImage,
  root: RawManifest,
  platform: Platform,
): Promise<RawManifest> {
  const choice = await choosePlatforms(image, root, [platform]);
  const [entry] = choice?.chosen ?? [];
  return entry === undefined ? root : await new ManifestReader(image).read(entry);
}

const AN_IMAGE = { mediaType: '', size: 0 };

function matchEach(
  entries: readonly Descriptor[],
  platforms: readonly Platform[],
  reference: string,
): readonly Descriptor[] {
  return platforms.map((platform) => {
    const found = matchPlatform(entries, platform);
    if (found === undefined) throw new PlatformNotFoundError(platform, entries, reference);
    return found;
  });
}

function entriesOf(bytes: Buffer, mediaType: string): readonly Descriptor[] {
  const index = parseManifest(bytes, mediaType);
  return index.kind === 'index' ? index.manifests : [];
}

interface Inlining {
  readonly reader: ManifestReader;
  readonly nested: Map<Digest, readonly Descriptor[]>;
}

/** An index's bytes with its nested indexes inlined, all of a level read at once; the bytes as they are where there are none. */
async function inlined(inlining: Inlining, raw: RawManifest, index: ImageIndex, depth: number): Promise<Buffer> {
  const { reader, nested } = inlining;
  const indexes = index.manifests.filter(({ mediaType }) => isIndexType(mediaType));
  reader.expect(raw, indexes, depth);
  const different = new Map(indexes.map((entry) => [entry.digest, entry]));
  const inner = new Map<Digest, Buffer>();
  const reading = [...different].map(async ([digest, entry]) => {
    const found = await readIfThere(reader, entry);
    const parsed = found && parseManifest(found.bytes, found.mediaType);
    if (parsed?.kind !== 'index') return;
    nested.set(digest, parsed.manifests);
    inner.set(digest, await inlined(inlining, found as RawManifest, parsed, depth + 1));
  });
  await Promise.all(reading);
  return inlineIndexes(raw.bytes, inner);
}

/** A sparse index may name others that are not there. */
async function readIfThere(reader: ManifestReader, entry: Descriptor): Promise<RawManifest | undefined> {
  try {
    return await reader.read(entry);
  } catch (error) {
    if (error instanceof ImgcopyError && error.kind === 'not-found') return undefined;
    throw error;
  }
}
