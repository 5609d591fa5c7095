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

/** The layers of the image that the destination holds now, and those that the cache knows of: where pieces of a new layer may be found. */
export class OldLayers {
  readonly #current: () => Promise<CurrentManifest | undefined>;
  readonly #getManifest: (entry: Descriptor) => Promise<Pick<RawManifest, 'bytes' | 'mediaType'>>;
  readonly #own: RepositoryName | undefined;
  readonly #instances = new Map<string, Promise<readonly Descriptor[]>>();

  /** @param getManifest  fetches an instance of an index at the destination. */
  constructor(
    current: () => Promise<CurrentManifest | undefined>,
    getManifest: (entry: Descriptor) => Promise<Pick<RawManifest, 'bytes' | 'mediaType'>>,
    own: RepositoryName | undefined,
  ) {
    this.#current = current;
    this.#getManifest = getManifest;
    this.#own = own;
  }

  /** Those that may be worth a look, best first; none where no pieces are to be reused. */
  async find(info: BlobInfo, options: OldLayersOptions): Promise<readonly Candidate[]> {
    const { cache, reusePieces = true } = options;
    if (!reusePieces) return [];
    const mayBeChunked = isAnnotatedChunked(info) || info.size >= MIN_RANGED_BLOB;
    const places = options.places ?? [{ layerIndex: options.layerIndex, platform: options.platform }];
    const images = await Promise.all(
      places.map(async ({ platform, layerIndex = -1 }) => {
        const found = await this.#layers(platform, mayBeChunked);
        return { found, predecessorDigest: found[layerIndex]?.digest };
      }),
    );
    const predecessors = new Set(images.map((image) => image.predecessorDigest));
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
    return [...listed.toSorted((one, other) => Number(other.isPredecessor) - Number(one.isPredecessor)), ...cached];
  }

  /** @param mayAsk  whether an instance of an index is worth a request of its own. */
  async #layers(platform: Platform | undefined, mayAsk: boolean): Promise<readonly Descriptor[]> {
    const manifest = await this.#currentManifest();
    if (manifest?.kind === 'image') return manifest.layers;
    const entry = manifest?.kind === 'index' && platform ? predecessor(manifest.manifests, platform) : undefined;
    return entry === undefined || !mayAsk ? [] : this.#layersOf(entry);
  }

  /** Undefined where there is none, or it cannot be read: what is damaged will be replaced. */
  async #currentManifest(): Promise<Manifest | undefined> {
    try {
      const current = await this.#current();
      return current?.bytes && parseManifest(current.bytes, current.mediaType);
    } catch (error) {
      if (error instanceof ImgcopyError) return undefined;
      throw error;
    }
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

/** Of Windows, the last part of a version is the patch level, which an older image does not share. */
function predecessor(entries: readonly Descriptor[], { osVersion, ...platform }: Platform): Descriptor | undefined {
  return matchPlatform(entries, { ...platform, osVersion: osVersion?.split('.').slice(0, 3).join('.') });
}
