import { digestAlgorithm, digestHex, type Digest } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { globPattern } from '../io/glob.ts';
import type { Descriptor } from '../manifest/descriptor.ts';
import { isIndexType, isManifestType } from '../manifest/media-types.ts';
import { parseManifest } from '../manifest/parse-manifest.ts';
import { artifactTypeOf } from '../manifest/referrers-index.ts';
import type { RawManifest } from '../contract/blob-info.ts';
import type { ImageSource } from '../contract/image-source.ts';
import { ManifestReader, type ReadableImage } from './manifest-reader.ts';

/** What cosign keeps under tags that are made of a digest: signatures, attestations, SBOMs. */
const COSIGN_TYPES = ['sig', 'att', 'sbom'] as const;
/** How many manifests may refer to an image, to its instances, and to each other; and how large these may be together, in bytes. */
const MAX_REFERRERS = 20_000;
const MAX_TOTAL_BYTES = 64 * 1024 * 1024;

/** A manifest that refers to another one, by its subject or by its tag. */
export interface Referrer {
  /** What it refers to. */
  readonly subject: Digest;
  readonly descriptor: Descriptor;
  /** The artifact type, or for cosign's tags `sig`, `att` or `sbom`; empty where there is none. */
  readonly type: string;
  /** Set where it is found by a tag of its own instead of its subject: `sha256-….sig`. */
  readonly tag?: string | undefined;
}

/** What refers to one manifest, in the order of the list. */
export interface ReferrersOf {
  readonly subject: Digest;
  readonly referrers: readonly Referrer[];
}

export interface ReferrerSelection {
  /** Types, with `*` and `?`. Only these, and what refers to these. Default: all. */
  readonly types?: readonly string[] | undefined;
}

/**
 * Finds what refers to some manifests, what refers to that, and so on: one answer for each manifest that something refers to, in the order of the
 * levels. A list is believed: what it names may be missing, or have another subject. What comes twice, or in a circle, is followed once.
 *
 * @throws ImgcopyError ERR_TOO_MANY_REFERRERS
 */
export async function* findReferrers(
  image: ReadableImage,
  subjects: readonly Digest[],
  selection: ReferrerSelection = {},
): AsyncGenerator<ReferrersOf> {
  const finder = new Finder(image, selection);
  let level: readonly Digest[] = [...new Set(subjects)];
  const followed = new Set(level);
  while (level.length > 0) {
    const next = new Set<Digest>();
    for (const found of await finder.find(level)) {
      if (found.referrers.length > 0) yield found;
      for (const { descriptor } of found.referrers)
        for (const digest of await finder.digestsOf(descriptor)) if (!followed.has(digest)) next.add(digest);
    }
    level = [...next];
    for (const digest of level) followed.add(digest);
  }
}

/** The digests of a manifest and of all below it that can be referred to. Of an index, only indexes in it are read. */
export async function manifestDigests(
  image: ReadableImage,
  raw: RawManifest,
  only?: ReadonlySet<Digest>,
): Promise<readonly Digest[]> {
  const reader = new ManifestReader(image);
  const collect = async (one: RawManifest, depth: number): Promise<readonly Digest[]> => {
    const manifest = parseManifest(one.bytes, one.mediaType);
    if (manifest.kind !== 'index') return [one.digest];
    const entries = manifest.manifests.filter(
      ({ mediaType, digest }) => isManifestType(mediaType) && (only?.has(digest) ?? true),
    );
    reader.expect(one, entries, depth);
    const below = entries.map(async (entry) =>
      isIndexType(entry.mediaType) ? collect(await reader.read(entry), depth + 1) : [entry.digest],
    );
    return [one.digest, ...(await Promise.all(below)).flat()];
  };
  return [...new Set(await collect(raw, 0))];
}

/** What is listed as a referrer need not be one. */
export function refersTo({ bytes, mediaType }: RawManifest, subject: Digest): boolean {
  const manifest = parseManifest(bytes, mediaType);
  return manifest.kind !== 'schema1' && manifest.subject?.digest === subject;
}

class Finder {
  readonly #image: ReadableImage;
  readonly #patterns: readonly RegExp[] | undefined;
  /** The one type that is wanted: a registry may leave out the others. */
  readonly #artifactType: string | undefined;
  #count = 0;
  #bytes = 0;

  constructor(image: ReadableImage, { types }: ReferrerSelection) {
    this.#image = image;
    this.#patterns = types?.map((type) => globPattern(type));
    const [only, ...others] = types ?? [];
    this.#artifactType = others.length === 0 && only !== undefined && !/[*?]/.test(only) ? only : undefined;
  }

  /** All at once, but for the first list of a source: it shows how the others are to be asked for. */
  async find(subjects: readonly Digest[]): Promise<readonly ReferrersOf[]> {
    const [tagged, listed] = await Promise.all([
      this.#findTagged(subjects),
      Promise.all(subjects.map((subject) => this.#findListed(subject))),
    ]);
    return subjects.map((subject, index) => ({
      subject,
      referrers: [...(listed[index] ?? []), ...(tagged.get(subject) ?? [])],
    }));
  }

  /** What can be referred to in a referrer: itself, and the manifests of an index. */
  async digestsOf(descriptor: Descriptor): Promise<readonly Digest[]> {
    if (!isIndexType(descriptor.mediaType)) return [descriptor.digest];
    const raw = await ifThere(new ManifestReader(this.#image).read(descriptor));
    return raw === undefined ? [descriptor.digest] : manifestDigests(this.#image, raw);
  }

  async #findListed(subject: Digest): Promise<readonly Referrer[]> {
    const { source, signal } = this.#image;
    const found = new Map<Digest, Referrer>();
    const wanted = this.#artifactType;
    for await (const descriptor of source.listReferrers?.(subject, { artifactType: wanted, signal }) ?? []) {
      if (found.has(descriptor.digest)) continue;
      const type = descriptor.artifactType ?? (await this.#readType(descriptor));
      if (!this.#isWanted(type)) continue;
      this.#expect(descriptor);
      found.set(descriptor.digest, { subject, descriptor, type });
    }
    return [...found.values()];
  }

  /** Some clients leave the type out of the list (cosign#4641). It is read only where it decides something. */
  async #readType(descriptor: Descriptor): Promise<string> {
    if (this.#patterns === undefined || !isManifestType(descriptor.mediaType)) return '';
    const raw = await ifThere(new ManifestReader(this.#image).read(descriptor));
    return raw === undefined ? '' : (artifactTypeOf(parseManifest(raw.bytes, raw.mediaType)) ?? '');
  }

  async #findTagged(subjects: readonly Digest[]): Promise<ReadonlyMap<Digest, readonly Referrer[]>> {
    const { source, signal } = this.#image;
    const found = new Map<Digest, Referrer[]>();
    if (source.findTags === undefined) return found;
    const wanted = new Map(
      subjects.flatMap((subject) =>
        COSIGN_TYPES.filter((type) => this.#isWanted(type)).map((type) => [
          cosignTag(subject, type),
          { subject, type },
        ]),
      ),
    );
    if (wanted.size === 0) return found;
    const tags = await source.findTags([...wanted.keys()], { signal });
    const manifests = await Promise.all(tags.map((tag) => ifThere(source.getManifest({ tag, signal }))));
    for (const [index, tag] of tags.entries()) {
      const [known, raw] = [wanted.get(tag), manifests[index]];
      if (known === undefined || raw === undefined) continue;
      const descriptor = { mediaType: raw.mediaType, digest: raw.digest, size: raw.bytes.length };
      this.#expect(descriptor);
      found.set(known.subject, [...(found.get(known.subject) ?? []), { ...known, descriptor, tag }]);
    }
    return found;
  }

  #isWanted(type: string): boolean {
    return this.#patterns?.some((pattern) => pattern.test(type)) ?? true;
  }

  #expect({ size }: Descriptor): void {
    this.#count += 1;
    this.#bytes += size;
    if (this.#count <= MAX_REFERRERS && this.#bytes <= MAX_TOTAL_BYTES) return;
    throw new ImgcopyError(
      `more than ${MAX_REFERRERS} manifests, or ${MAX_TOTAL_BYTES} bytes of manifests, refer to ${this.#image.source.reference}`,
      { code: 'ERR_TOO_MANY_REFERRERS', side: 'source', hint: 'choose some of them with --referrers-type' },
    );
  }
}

/** @see https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md#tag-based-discovery */
function cosignTag(subject: Digest, type: string): string {
  return `${digestAlgorithm(subject)}-${digestHex(subject)}.${type}`;
}

async function ifThere(reading: ReturnType<ImageSource['getManifest']>): Promise<RawManifest | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof ImgcopyError && error.kind === 'not-found') return undefined;
    throw error;
  }
}
