import type { Digest } from '../digest/digest.ts';
import { platformOfImage } from '../copy/config-platform.ts';
import { expectReferrerLists } from '../copy/copy-referrers.ts';
import { ManifestReader } from '../copy/manifest-reader.ts';
import { findReferrers, manifestDigests, type Referrer, type ReferrerSelection } from '../copy/referrers.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import type { OpenedImage } from './questions.ts';
import type { Descriptor, Platform } from '../manifest/descriptor.ts';
import { MAX_INDEX_DEPTH } from '../manifest/manifest.ts';
import { compressionOfType, type CompressionAlgorithm } from '../manifest/layer-compression.ts';
import { isManifestType } from '../manifest/media-types.ts';
import { parseManifest } from '../manifest/parse-manifest.ts';
import { locateTail } from '../partial/toc/tail.ts';
import type { RawManifest } from '../contract/blob-info.ts';

/** A layer, and how it is compressed where its media type or its annotations say so. Schema 1 tells digests alone. */
export type LayerDescription = (Descriptor | { readonly digest: Digest }) & {
  readonly compression?: CompressionAlgorithm | undefined;
};

/** A manifest and what lies below it; sizes are in bytes. */
export interface ManifestDescription {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Of the manifest. */
  readonly size: number;
  /** As the index names it, or else the image's config. */
  readonly platform?: Platform | undefined;
  readonly artifactType?: string | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  /** What this manifest refers to: a signature's image. */
  readonly subject?: Descriptor | undefined;
  readonly config?: Descriptor | undefined;
  /** The lowest first; undefined for an index, and where the manifest was not read. Schema 1 does not tell sizes. */
  readonly layers?: readonly LayerDescription[] | undefined;
  /** Of an index, in its order. What is no manifest (a build cache's layers) has neither layers nor manifests. */
  readonly manifests?: readonly ManifestDescription[] | undefined;
  /** The index names this manifest, and it is not there. */
  readonly missing?: true | undefined;
  /** What refers to it, where that was asked for and there is something. */
  readonly referrers?: readonly ReferrerDescription[] | undefined;
}

/** A manifest that refers to another one, and what refers to that. */
export interface ReferrerDescription extends Referrer {
  readonly referrers?: readonly ReferrerDescription[] | undefined;
}

export interface ImageDescription extends ManifestDescription {
  readonly reference: string;
}

/** See Copier.inspect. */
export async function describeImage(
  image: OpenedImage,
  { withReferrers = false }: { readonly withReferrers?: boolean } = {},
): Promise<ImageDescription> {
  const reading = describe({ ...image, reader: new ManifestReader(image) }, image.manifest, 0);
  const [read, referrers] = await Promise.all([reading, withReferrers ? referrersOf(image) : []]);
  const description = referrers.length === 0 ? read : withReferrersOf(read, referrers);
  const platform = await platformOfImage(image, image.manifest);
  return { reference: image.source.reference, ...description, ...(platform !== undefined && { platform }) };
}

/** See Copier.referrers. */
export async function referrersOf(image: OpenedImage, selection: ReferrerSelection = {}): Promise<readonly Referrer[]> {
  expectReferrerLists(image.source);
  const found: Referrer[] = [];
  const subjects = await manifestDigests(image, image.manifest);
  for await (const { referrers } of findReferrers(image, subjects, selection)) found.push(...referrers);
  return found;
}

/** The description with what refers to each of its manifests. What refers to one that comes twice, or in a circle, is shown once. */
function withReferrersOf(description: ManifestDescription, referrers: readonly Referrer[]): ManifestDescription {
  const bySubject = Map.groupBy(referrers, ({ subject }) => subject);
  const takeOf = (digest: Digest): { readonly referrers?: readonly ReferrerDescription[] } => {
    const own = bySubject.get(digest);
    bySubject.delete(digest);
    return own === undefined ? {} : { referrers: own.map((one) => ({ ...one, ...takeOf(one.descriptor.digest) })) };
  };
  const add = (one: ManifestDescription): ManifestDescription => ({
    ...one,
    ...takeOf(one.digest),
    ...(one.manifests !== undefined && { manifests: one.manifests.map(add) }),
  });
  return add(description);
}

interface InspectedImage extends OpenedImage {
  readonly reader: ManifestReader;
}

async function describe(image: InspectedImage, raw: RawManifest, depth: number): Promise<ManifestDescription> {
  const parsed = parseManifest(raw.bytes, raw.mediaType);
  const own = { digest: raw.digest, mediaType: raw.mediaType, size: raw.bytes.length };
  if (parsed.kind === 'schema1') return { ...own, layers: parsed.layers.map(({ digest }) => ({ digest })) };
  const { artifactType, annotations, subject } = parsed;
  const common = {
    ...own,
    ...(artifactType !== undefined && { artifactType }),
    ...(annotations !== undefined && { annotations }),
    ...(subject !== undefined && { subject }),
  };
  if (parsed.kind === 'image') {
    return {
      ...common,
      ...(parsed.config !== undefined && { config: parsed.config }),
      layers: parsed.layers.map(describeLayer),
    };
  }
  const isRead = !image.source.metersManifestReads && depth < MAX_INDEX_DEPTH;
  if (!isRead) return { ...common, manifests: parsed.manifests };
  image.reader.expect(raw, parsed.manifests.filter(isManifest), depth);
  const manifests = await Promise.all(parsed.manifests.map((entry) => describeEntry(image, entry, depth + 1)));
  return { ...common, manifests };
}

function describeLayer(layer: Descriptor): LayerDescription {
  const compression = locateTail(layer)?.format ?? compressionOfType(layer.mediaType);
  return { ...layer, ...(compression !== undefined && { compression }) };
}

async function describeEntry(image: InspectedImage, entry: Descriptor, depth: number): Promise<ManifestDescription> {
  if (!isManifest(entry)) return entry;
  try {
    const raw = await image.reader.read(entry);
    const { annotations, ...below } = await describe(image, raw, depth);
    // What the index says of an instance comes before what the instance says of itself.
    const named = { ...annotations, ...entry.annotations };
    return {
      ...below,
      ...(entry.platform !== undefined && { platform: entry.platform }),
      ...(Object.keys(named).length > 0 && { annotations: named }),
    };
  } catch (error) {
    if (error instanceof ImgcopyError && error.kind === 'not-found') return { ...entry, missing: true };
    throw error;
  }
}

function isManifest({ mediaType }: Descriptor): boolean {
  return isManifestType(mediaType);
}
