import type { Digest } from '../digest/digest.ts';
import type { Descriptor } from '../manifest/descriptor.ts';
import type { ImageIndex, ImageManifest, Schema1Manifest } from '../manifest/manifest.ts';
import { isManifestType } from '../manifest/media-types.ts';
import { parseManifest } from '../manifest/parse-manifest.ts';
import type { BlobInfo, RawManifest } from '../contract/blob-info.ts';
import { ManifestReader, type ReadableImage } from './manifest-reader.ts';

/** A manifest, and the instances below it where it is an index. */
export type ManifestNode = ImageNode | IndexNode;

export interface ImageNode {
  readonly raw: RawManifest;
  readonly parsed: ImageManifest | Schema1Manifest;
  readonly entry: Descriptor | undefined;
}

export interface IndexNode {
  readonly raw: RawManifest;
  readonly parsed: ImageIndex;
  readonly entry: Descriptor | undefined;
  /** One for each different manifest that the index names. */
  readonly instances: readonly Promise<ManifestNode>[];
  /** What the index names that is no manifest: the layers of a build cache. */
  readonly blobs: readonly Descriptor[];
}

export interface ReadTreeOptions {
  /** The manifests to read, on all levels; undefined for all. */
  readonly only?: ReadonlySet<Digest> | undefined;
}

/** Reads a manifest's instances from the source, all of one level at the same time. */
export function readManifestTree(image: ReadableImage, raw: RawManifest, { only }: ReadTreeOptions = {}): ManifestNode {
  return readNode({ reader: new ManifestReader(image), only }, raw, { depth: 0 });
}

interface Reading extends ReadTreeOptions {
  readonly reader: ManifestReader;
}

/** @param place  its entry in the index above, and how many indexes lie above. */
function readNode(
  reading: Reading,
  raw: RawManifest,
  place: { readonly entry?: Descriptor; readonly depth: number },
): ManifestNode {
  const { reader, only } = reading;
  const { entry, depth } = place;
  const parsed = parseManifest(raw.bytes, raw.mediaType);
  if (parsed.kind !== 'index') return { raw, parsed, entry };
  const wanted = parsed.manifests.filter(({ digest }) => only?.has(digest) ?? true);
  const manifests = wanted.filter(({ mediaType }) => isManifestType(mediaType));
  reader.expect(raw, manifests, depth);
  const instances = different(manifests).map(async (listed) =>
    readNode(reading, await reader.read(listed), { entry: listed, depth: depth + 1 }),
  );
  // The first that fails is reported by who walks the tree; the others must not count as unhandled.
  for (const instance of instances) instance.catch(() => undefined);
  return {
    raw,
    parsed,
    entry,
    instances,
    blobs: different(wanted.filter(({ mediaType }) => !isManifestType(mediaType))),
  };
}

/** One entry for each digest. */
export function different<T extends BlobInfo>(entries: readonly T[]): readonly T[] {
  return [...new Map(entries.map((entry) => [entry.digest, entry])).values()];
}

/** All manifests of a tree, each before those that it names; one that is named twice comes once. */
export async function manifestsOf(node: ManifestNode): Promise<readonly RawManifest[]> {
  if (!('instances' in node)) return [node.raw];
  const below = [];
  for (const instance of node.instances) below.push(...(await manifestsOf(await instance)));
  return [...new Map([node.raw, ...below].map((raw) => [raw.digest, raw])).values()];
}

/** How many manifests a tree has; to be asked for when all of it was read. */
export async function countManifests(node: ManifestNode): Promise<number> {
  if (!('instances' in node)) return 1;
  const counts = await Promise.all(node.instances.map(async (instance) => countManifests(await instance)));
  return counts.reduce((sum, count) => sum + count, 1);
}

/** The digests of all blobs that a tree names; resolves when all of it was read. */
export async function blobDigestsOf(node: ManifestNode): Promise<ReadonlySet<Digest>> {
  if ('instances' in node) {
    const below = await Promise.all(node.instances.map(async (instance) => blobDigestsOf(await instance)));
    return new Set([...node.blobs.map(({ digest }) => digest), ...below.flatMap((digests) => [...digests])]);
  }
  const { parsed } = node;
  const blobs =
    parsed.kind === 'image' && parsed.config !== undefined ? [parsed.config, ...parsed.layers] : parsed.layers;
  return new Set(blobs.map(({ digest }) => digest));
}
