import type { Digest } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import type { Descriptor, Platform } from '../../manifest/descriptor.ts';
import { type Manifest, parseManifest } from '../../manifest/parse-manifest.ts';
import { matchPlatform } from '../../manifest/platform.ts';
import { type Candidate, isAnnotatedChunked, MIN_CHUNKED_BLOB, MIN_RANGED_BLOB } from './plan-blob.ts';
import type { BlobInfo, RawManifest } from '../../contract/blob-info.ts';
import type { CurrentManifest, PutBlobPartialOptions } from '../../contract/image-destination.ts';
import type { RepositoryName } from '../../contract/image-source.ts';

/**
 * The new layer's `layerIndex` tells its predecessor, which is the most like it, and `platform` the instance of an index to look at; so do all of its
 * `places`.
 */
export type OldLayersOptions = Pick<
  PutBlobPartialOptions,
  'cache' | 'layerIndex' | 'platform' | 'places' | 'reusePieces'
>;

/** So many blobs that only the cache knows of. */
const MAX_CACHED = 2;

/** The layers of images that the destination holds now, and those that the cache knows of: where pieces of a new layer may be found. */
export class OldLayers {
  readonly #images: () => Promise<readonly CurrentManifest[]>;
  readonly #getManifest: (entry: Descriptor) => Promise<Pick<RawManifest, 'bytes' | 'mediaType'>>;
  readonly #own: RepositoryName | undefined;
  readonly #instances = new Map<string, Promise<readonly Descriptor[]>>();
  #manifests: Promise<readonly Manifest[]> | undefined;

  /**
   * @param images  that may be like the new one, the most like it first; asked for once.
   * @param getManifest  fetches an instance of an index at the destination.
   */
  constructor(
    images: () => Promise<readonly CurrentManifest[]>,
    getManifest: (entry: Descriptor) => Promise<Pick<RawManifest, 'bytes' | 'mediaType'>>,
    own: RepositoryName | undefined,
  ) {
    this.#images = images;
    this.#getManifest = getManifest;
    this.#own = own;
  }

  /** Those that may be worth a look, best first; none where no pieces are to be reused. */
  async find(info: BlobInfo, options: OldLayersOptions): Promise<readonly Candidate[]> {
    const { cache, reusePieces = true } = options;
    if (!reusePieces) return [];
    const mayBeChunked = isAnnotatedChunked(info) || info.size >= MIN_RANGED_BLOB;
    const places = options.places ?? [{ layerIndex: options.layerIndex, platform: options.platform }];
    const manifests = await (this.#manifests ??= this.#readManifests());
    const images = await Promise.all(
      manifests.flatMap((manifest, rank) =>
        places.map(async ({ platform, layerIndex = -1 }) => {
          const found = await this.#layers(manifest, platform, mayBeChunked);
          return { found, rank, predecessorDigest: found[layerIndex]?.digest };
        }),
      ),
    );
    /** By digest, the rank of the image in which the layer is at the new one's place. */
    const predecessors = new Map<Digest | undefined, number>();
    for (const { predecessorDigest, rank } of images) {
      if (!predecessors.has(predecessorDigest)) predecessors.set(predecessorDigest, rank);
    }
    const layers = [...new Map(images.flatMap(({ found }) => found).map((layer) => [layer.digest, layer])).values()];
    const chunked = this.#own === undefined ? [] : (cache?.chunkedBlobs(this.#own, MAX_CACHED + layers.length) ?? []);
    const knownChunked = new Set(chunked.map(({ digest }) => digest));
    const listed = layers
      .map((old) => ({
        info: old,
        isPredecessor: predecessors.has(old.digest),
        isKnownChunked: knownChunked.has(old.digest),
      }))
      .filter((one) => one.info.size >= MIN_CHUNKED_BLOB && one.info.digest !== info.digest)
      .filter((one) => one.isPredecessor || one.isKnownChunked || isAnnotatedChunked(one.info));
    const isListed = (digest: string): boolean =>
      layers.some((layer) => layer.digest === digest) || digest === info.digest;
    const cached = chunked
      .filter(({ digest }) => !isListed(digest))
      .slice(0, MAX_CACHED)
      .map(({ digest, size }) => ({ info: { digest, size }, isPredecessor: false, isKnownChunked: true }));
    const order = (one: Candidate): number => {
      const rank = predecessors.get(one.info.digest);
      return rank === undefined ? 2 : Math.min(rank, 1);
    };
    // Of many images, most have nothing to do with the new one; a layer of about its size may.
    const distance = (one: Candidate): number =>
      manifests.length > 1 ? Math.abs(Math.log(one.info.size / info.size)) : 0;
    const sorted = listed.toSorted((one, other) => order(one) - order(other) || distance(one) - distance(other));
    return [...sorted, ...cached];
  }

  /** @param mayAsk  whether an instance of an index is worth a request of its own. */
  async #layers(manifest: Manifest, platform: Platform | undefined, mayAsk: boolean): Promise<readonly Descriptor[]> {
    if (manifest.kind === 'image') return manifest.layers;
    const entry = manifest.kind === 'index' && platform ? predecessor(manifest.manifests, platform) : undefined;
    return entry === undefined || !mayAsk ? [] : this.#layersOf(entry);
  }

  /** Without those that cannot be read: what is damaged will be replaced. */
  async #readManifests(): Promise<readonly Manifest[]> {
    const images = await orNone(() => this.#images());
    const manifests = images.map(({ bytes, mediaType }) =>
      orNone(() => Promise.resolve(bytes === undefined ? [] : [parseManifest(bytes, mediaType)])),
    );
    return (await Promise.all(manifests)).flat();
  }

  #layersOf(entry: Descriptor): Promise<readonly Descriptor[]> {
    let layers = this.#instances.get(entry.digest);
    if (layers === undefined) {
      layers = this.#getManifest(entry).then(
        ({ bytes, mediaType }) => {
          const manifest = parseManifest(bytes, mediaType);
          return manifest.kind === 'image' ? manifest.layers : [];
        },
        // Pieces are a help, not a need: without its manifest the old image has none.
        () => [],
      );
      this.#instances.set(entry.digest, layers);
    }
    return layers;
  }
}

async function orNone<T>(read: () => Promise<readonly T[]>): Promise<readonly T[]> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof ImgcopyError) return [];
    throw error;
  }
}

/** Of Windows, the last part of a version is the patch level, which an older image does not share. */
function predecessor(entries: readonly Descriptor[], { osVersion, ...platform }: Platform): Descriptor | undefined {
  return matchPlatform(entries, { ...platform, osVersion: osVersion?.split('.').slice(0, 3).join('.') });
}
