import type { Digest } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import {
  findImage,
  imageNames,
  layoutBlobPath,
  type LayoutChoice,
  type LayoutImage,
  parseLayoutIndex,
} from '../../manifest/image-layout.ts';
import type {
  GetBlobAtOptions,
  ImageSourceChunk,
  RangeAnswer,
  RangeSupport,
} from '../../contract/blob-chunk-accessor.ts';
import type { BlobInfo, RawManifest, WaitOptions } from '../../contract/blob-info.ts';
import type {
  BlobStream,
  GetBlobOptions,
  GetManifestOptions,
  ImageSource,
  ListReferrersOptions,
} from '../../contract/image-source.ts';
import { LocalBlobStore } from '../../local/blob-store.ts';
import { resolveLocalPath } from '../../local/local-path.ts';
import { listImageDirectory } from '../../local/source-directory.ts';
import { hasLayoutFile, type KnownManifest, manifestPath, readIndexFile, readLayoutManifest } from './layout-files.ts';
import { LayoutReferrers } from './layout-referrers.ts';
import type { Descriptor } from '../../manifest/descriptor.ts';
import { formatLayoutName, type LayoutName } from '../../reference/layout-name.ts';

/** A layout that was found. */
interface OpenLayout {
  /** Absolute. */
  readonly directory: string;
  /** The layout as the user names it: `oci:lay`. */
  readonly reference: string;
  readonly images: readonly LayoutImage[];
}

/**
 * Opens an image of an OCI image layout for reading. Nothing is written to the directory.
 * @throws ImgcopyError of kind `not-found` where there is no such image, ERR_SEVERAL_IMAGES (kind `usage`) where it is not clear which is meant,
 *   ERR_INVALID_LAYOUT, ERR_LAYOUT_VERSION.
 */
export async function openOciSource(name: LayoutName): Promise<OciSource> {
  const layout = await openLayout(name.path);
  const image = findImage(layout.images, name, layout.reference);
  const manifest = await readManifest(layout, manifestOf(image, name), 'copy the image there again');
  return new OciSource(formatLayoutName(name), layout, { manifest, tag: image?.name });
}

/**
 * The names of the images in a layout.
 * @param path  relative to the working directory, or absolute.
 * @throws what openOciSource throws for a path that is no layout.
 */
export async function listLayoutNames(path: string): Promise<readonly string[]> {
  return imageNames((await openLayout(path)).images);
}

export class OciSource implements ImageSource {
  readonly reference: string;
  readonly tag: string | undefined;
  readonly concurrency = 'parallel';
  readonly roundTripMs = 0;
  readonly rangeSupport: RangeSupport;
  readonly #layout: OpenLayout;
  readonly #blobs: LocalBlobStore;
  readonly #manifest: RawManifest;
  readonly #others = new Map<Digest, Promise<RawManifest>>();
  readonly #referrers: LayoutReferrers;

  constructor(name: string, layout: OpenLayout, { manifest, tag }: { manifest: RawManifest; tag: string | undefined }) {
    this.reference = `oci:${name}`;
    this.tag = tag;
    this.#layout = layout;
    const { directory } = layout;
    this.#blobs = new LocalBlobStore({ directory, fileOf: layoutBlobPath, reference: this.reference, side: 'source' });
    this.rangeSupport = this.#blobs.ranges.rangeSupport;
    this.#manifest = manifest;
    this.#referrers = new LayoutReferrers(layout);
  }

  getManifestDigest(): Promise<Digest> {
    return Promise.resolve(this.#manifest.digest);
  }

  async getManifest({ instanceDigest, tag, size, signal }: GetManifestOptions = {}): Promise<RawManifest> {
    signal?.throwIfAborted();
    const { images, reference } = this.#layout;
    if (tag !== undefined) return await this.#readOther(manifestOf(findImage(images, { name: tag }, reference), {}));
    if (instanceDigest === undefined) return this.#manifest;
    return await this.#readOther({ digest: instanceDigest, size });
  }

  async *listReferrers(subject: Digest, { signal }: ListReferrersOptions = {}): AsyncGenerator<Descriptor> {
    signal?.throwIfAborted();
    yield* await this.#referrers.of(subject);
  }

  findTags(tags: readonly string[]): Promise<readonly string[]> {
    const names = new Set(this.#layout.images.map(({ name }) => name));
    return Promise.resolve(tags.filter((tag) => names.has(tag)));
  }

  async getBlobSize(digest: Digest, { signal }: WaitOptions = {}): Promise<number> {
    signal?.throwIfAborted();
    return await this.#blobs.size(digest);
  }

  async getBlob(info: BlobInfo, { signal, givesBack }: GetBlobOptions = {}): Promise<BlobStream> {
    return { stream: await this.#blobs.read(info, { signal, givesBack }), size: info.size };
  }

  getBlobAt(info: BlobInfo, chunks: readonly ImageSourceChunk[], options?: GetBlobAtOptions): Promise<RangeAnswer> {
    return this.#blobs.ranges.getBlobAt(info, chunks, options);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  async #readOther(descriptor: KnownManifest): Promise<RawManifest> {
    const { digest } = descriptor;
    if (digest === this.#manifest.digest) return this.#manifest;
    const known = this.#others.get(digest);
    if (known !== undefined) return await known;
    const hint = 'the layout holds only some of the platforms; name them with --platform';
    const reading = readManifest(this.#layout, descriptor, hint);
    this.#others.set(digest, reading);
    return await reading;
  }
}

function manifestOf(image: LayoutImage | undefined, { digest }: LayoutChoice): KnownManifest {
  if (image !== undefined) return image.descriptor;
  // It may be that of an image which is not listed: an instance of an index, or one whose name went to another image.
  if (digest !== undefined) return { digest };
  throw new Error('no image of the layout was chosen');
}

async function openLayout(path: string): Promise<OpenLayout> {
  const directory = resolveLocalPath(path);
  const reference = `oci:${path}`;
  const names = await listImageDirectory(path, reference);
  if (!(await hasLayoutFile(directory, reference))) throw notALayout(reference, path, names);
  const bytes = await readIndexFile(directory, reference);
  if (bytes === undefined) {
    throw new ImgcopyError(`${reference} does not contain an image yet: it has no index.json`, {
      code: 'ERR_NOT_AN_IMAGE',
      kind: 'not-found',
      side: 'source',
      hint: 'if a copy into it was cut short, run that again',
    });
  }
  return { directory, reference, images: parseLayoutIndex(bytes, reference) };
}

function notALayout(reference: string, path: string, names: readonly string[]): ImgcopyError {
  return new ImgcopyError(`${reference} is not an OCI image layout: it has no oci-layout file`, {
    code: 'ERR_NOT_AN_IMAGE',
    kind: 'not-found',
    side: 'source',
    hint: names.includes('manifest.json')
      ? `it may be an image directory: dir:${path}`
      : 'give the directory that holds oci-layout, index.json and blobs',
  });
}

async function readManifest(
  { directory, reference }: OpenLayout,
  descriptor: KnownManifest,
  hint: string,
): Promise<RawManifest> {
  const { digest } = descriptor;
  const stored = await readLayoutManifest(directory, descriptor);
  if (stored !== undefined) return stored.raw;
  throw new ImgcopyError(
    `${reference} is missing manifest ${digest}: there is no file ${manifestPath(directory, digest)}`,
    {
      code: 'ERR_MANIFEST_NOT_FOUND',
      kind: 'not-found',
      side: 'source',
      hint,
    },
  );
}
