import type { Digest } from '../digest/digest.ts';
import type { Descriptor } from './descriptor.ts';
import type { ImageIndex } from './manifest.ts';
import { InvalidManifestError, MAX_MANIFEST_BYTES, parseManifest } from './parse-manifest.ts';

export { substitutedMediaType } from './layer-compression.ts';

/** What stands in for a layer or an instance. */
export interface Replacement {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  readonly mediaType: string;
}

/**
 * The index with only some of its entries. All else stays: fields that we do not know, their order, and the indentation.
 *
 * @returns the bytes as they are where every entry is kept.
 * @throws Error when no entry is kept, or the bytes are no index.
 */
export function subsetIndex(bytes: Buffer, keep: (entry: Descriptor, position: number) => boolean): Buffer {
  const kept = parseIndex(bytes).manifests.map((entry, position) => keep(entry, position));
  if (!kept.includes(true)) throw new Error('an index cannot be left without entries');
  if (!kept.includes(false)) return bytes;
  return rewriteList(bytes, 'manifests', (entries) => entries.filter((_, position) => kept[position]));
}

/**
 * The index with the entries of other indexes in the place of those that name them. Where such an entry names a platform, it holds for what
 * replaces it and names none.
 *
 * @param indexes  the bytes of these, by digest; an index that is not among them stays an entry.
 * @returns the bytes as they are where there is nothing to replace.
 * @throws InvalidManifestError when the result would be too large. Error when any of the bytes are no index.
 */
export function inlineIndexes(bytes: Buffer, indexes: ReadonlyMap<Digest, Buffer>): Buffer {
  const inner = parseIndex(bytes).manifests.map(({ digest }) => indexes.get(digest));
  if (inner.every((index) => index === undefined)) return bytes;
  const size = inner.reduce((sum, index) => sum + (index?.length ?? 0), bytes.length);
  if (size > MAX_MANIFEST_BYTES) {
    throw new InvalidManifestError(`with the indexes in it, it has ${size} bytes, more than ${MAX_MANIFEST_BYTES}`);
  }
  return rewriteList(bytes, 'manifests', (entries) =>
    entries.flatMap((entry, position) => {
      const index = inner[position];
      if (index === undefined) return [entry];
      const { manifests } = JSON.parse(index.toString('utf8')) as { readonly manifests?: readonly JsonObject[] };
      return (manifests ?? []).map((one) => ({ ...one, platform: one['platform'] ?? entry['platform'] }));
    }),
  );
}

/**
 * The index with other manifests in the place of some. Attestations of the old ones stay and name what they were made for.
 *
 * @returns the bytes as they are where nothing is replaced.
 * @throws Error when the bytes are no index.
 */
export function replaceInstances(bytes: Buffer, replacements: ReadonlyMap<Digest, Replacement>): Buffer {
  return replaceDescriptors(bytes, { list: 'manifests', descriptors: parseIndex(bytes).manifests, replacements });
}

/**
 * The image manifest with other blobs in the place of some layers. What described the old blob goes with it: its URLs, its inline data,
 * its table of contents.
 *
 * @returns the bytes as they are where nothing is replaced.
 * @throws Error when the bytes are no OCI or schema 2 image manifest.
 */
export function replaceLayers(bytes: Buffer, replacements: ReadonlyMap<Digest, Replacement>): Buffer {
  const manifest = parseManifest(bytes);
  if (manifest.kind !== 'image' || manifest.config === undefined) {
    throw new Error(`layers of ${manifest.mediaType} cannot be replaced`);
  }
  return replaceDescriptors(bytes, { list: 'layers', descriptors: manifest.layers, replacements });
}

function parseIndex(bytes: Buffer): ImageIndex {
  const index = parseManifest(bytes);
  if (index.kind !== 'index') throw new Error(`${index.mediaType} is no index`);
  return index;
}

export type JsonObject = Record<string, unknown>;

function replaceDescriptors(
  bytes: Buffer,
  {
    list,
    descriptors,
    replacements,
  }: {
    readonly list: 'manifests' | 'layers';
    readonly descriptors: readonly Descriptor[];
    readonly replacements: ReadonlyMap<Digest, Replacement>;
  },
): Buffer {
  const byPosition = descriptors.map(({ digest }) => replacements.get(digest));
  if (byPosition.every((replacement) => replacement === undefined)) return bytes;
  return rewriteList(bytes, list, (entries) =>
    entries.map((entry, position) => {
      const replacement = byPosition[position];
      return replacement === undefined ? entry : replaceDescriptor(entry, replacement);
    }),
  );
}

function replaceDescriptor(original: JsonObject, { mediaType, digest, size }: Replacement): JsonObject {
  const replaced: JsonObject = { ...original, mediaType, digest, size };
  delete replaced['urls'];
  delete replaced['data'];
  const annotations = Object.entries((original['annotations'] ?? {}) as JsonObject);
  const kept = annotations.filter(([name]) => !BLOB_ANNOTATIONS.some((prefix) => name.startsWith(prefix)));
  if (kept.length === 0) delete replaced['annotations'];
  else replaced['annotations'] = Object.fromEntries(kept);
  return replaced;
}

// Where a zstd:chunked or eStargz blob has its table of contents: wrong for any other blob.
const BLOB_ANNOTATIONS: readonly string[] = [
  'io.github.containers.zstd-chunked.',
  'io.containers.zstd-chunked.',
  'containerd.io/snapshot/stargz/',
  'io.containers.estargz.',
];

/** A JSON document with one of its lists changed, in the layout it had. A list that is not there counts as empty. */
export function rewriteList(
  bytes: Buffer,
  list: string,
  change: (entries: readonly JsonObject[]) => readonly JsonObject[],
): Buffer {
  const text = bytes.toString('utf8');
  const document = JSON.parse(text) as JsonObject;
  document[list] = change((document[list] ?? []) as readonly JsonObject[]);
  const indent = /^\s*\{\r?\n([ \t]+)"/.exec(text)?.[1];
  const end = text.slice(text.trimEnd().length);
  return Buffer.from(JSON.stringify(document, null, indent) + end);
}
