import { ContentMismatchError, type Digest } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import type { Pool } from '../io/semaphore.ts';
import type { Descriptor } from '../manifest/descriptor.ts';
import { MAX_INDEX_DEPTH } from '../manifest/manifest.ts';
import type { RawManifest } from '../contract/blob-info.ts';
import type { ImageSource } from '../contract/image-source.ts';
import type { SharedContent } from './shared-content.ts';

/** How many manifests the indexes of one image may name; one that is named twice counts twice, for it may be an index itself. */
const MAX_MANIFESTS = 3_000;
/** How large these may be together, in bytes: all of them are in memory until the copy ends. */
const MAX_TOTAL_BYTES = 16 * 1024 * 1024;
/** What a manifest's request takes of the pool. */
const POOL_WEIGHT = 0.25;

/** An image that is open for reading. */
export interface ReadableImage {
  readonly source: ImageSource;
  readonly signal: AbortSignal;
  /** Requests for manifests wait here for their turn, ahead of blobs. */
  readonly pool?: Pool | undefined;
  /** Manifests that were read for other images of the repository. */
  readonly content?: Pick<SharedContent, 'manifest'> | undefined;
}

/** Reads the manifests that the indexes of one image name, within limits on their number, sizes and depth. */
export class ManifestReader {
  readonly #image: ReadableImage;
  readonly #sizes = new Map<Digest, number>();
  #mentions = 0;
  #totalBytes = 0;

  constructor(image: ReadableImage) {
    this.#image = image;
  }

  /**
   * Checks what an index names, before any of it is read.
   * @param depth  how many indexes lie above.
   * @throws ImgcopyError ERR_INDEX_TOO_DEEP or ERR_TOO_MANY_MANIFESTS; ContentMismatchError where one digest has two sizes.
   */
  expect(index: RawManifest, entries: readonly Descriptor[], depth: number): void {
    if (depth >= MAX_INDEX_DEPTH) {
      throw this.#refusal(
        'ERR_INDEX_TOO_DEEP',
        `index ${index.digest} lies below ${depth} others; at most ${MAX_INDEX_DEPTH} levels are read`,
      );
    }
    for (const { digest, size } of entries) this.#count(digest, size);
    this.#mentions += entries.length;
    if (this.#mentions > MAX_MANIFESTS) {
      throw this.#refusal(
        'ERR_TOO_MANY_MANIFESTS',
        `the image names ${this.#mentions} manifests; at most ${MAX_MANIFESTS} are read`,
      );
    }
    if (this.#totalBytes > MAX_TOTAL_BYTES) {
      throw this.#refusal(
        'ERR_TOO_MANY_MANIFESTS',
        `the manifests of the image have ${this.#totalBytes} bytes; at most ${MAX_TOTAL_BYTES} are read`,
      );
    }
  }

  /** @throws ContentMismatchError, or an ImgcopyError of the same code, where the manifest's size is not that of its descriptor. */
  async read(descriptor: Descriptor): Promise<RawManifest> {
    const { content } = this.#image;
    const read = (): Promise<RawManifest> => this.#fetch(descriptor);
    const { digest, size } = descriptor;
    const manifest = await (content === undefined ? read() : content.manifest(digest, read));
    if (manifest.bytes.length !== size) throw wrongSize(digest, size, manifest.bytes.length);
    return manifest;
  }

  async #fetch({ digest, size }: Descriptor): Promise<RawManifest> {
    const { source, signal, pool } = this.#image;
    const release = await pool?.acquire({ weight: POOL_WEIGHT, priority: Infinity, signal });
    try {
      return await source.getManifest({ instanceDigest: digest, size, signal });
    } catch (error) {
      if (!(error instanceof ImgcopyError && error.code === 'ERR_ANSWER_TOO_LARGE')) throw error;
      throw new ImgcopyError(`manifest ${digest} has more than the ${size} bytes that its descriptor says`, {
        code: 'ERR_CONTENT_MISMATCH',
        kind: 'integrity',
        cause: error,
      });
    } finally {
      release?.();
    }
  }

  #count(digest: Digest, size: number): void {
    const known = this.#sizes.get(digest);
    if (known !== undefined && known !== size) throw wrongSize(digest, known, size);
    if (known === undefined) this.#totalBytes += size;
    this.#sizes.set(digest, size);
  }

  #refusal(code: string, problem: string): ImgcopyError {
    const hint = 'choose one image of it with --platform, or by its digest';
    return new ImgcopyError(`${this.#image.source.reference}: ${problem}`, { code, side: 'source', hint });
  }
}

function wrongSize(digest: Digest, expected: number, found: number): ContentMismatchError {
  return new ContentMismatchError(
    `manifest ${digest} does not have the size that its descriptor says`,
    `${expected} bytes`,
    `${found} bytes`,
  );
}
