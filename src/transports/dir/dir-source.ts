import { join } from 'node:path';
import type { Digest } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import type {
  GetBlobAtOptions,
  ImageSourceChunk,
  RangeAnswer,
  RangeSupport,
} from '../../contract/blob-chunk-accessor.ts';
import { refuseTag } from '../../contract/errors.ts';
import type { BlobInfo, RawManifest, WaitOptions } from '../../contract/blob-info.ts';
import type { BlobStream, GetBlobOptions, GetManifestOptions, ImageSource } from '../../contract/image-source.ts';
import { LocalBlobStore } from '../../local/blob-store.ts';
import { blobFileName, manifestFileName, readImageManifest } from './layout.ts';
import { resolveLocalPath } from '../../local/local-path.ts';
import { listImageDirectory } from '../../local/source-directory.ts';
import { readVersion } from './layout-version.ts';
import { readManifestFile } from '../../local/manifest-file.ts';
import { readSignatures } from './signature-files.ts';

/**
 * Opens a directory in the containers `dir:` layout for reading.
 * @param path  relative to the working directory, or absolute; may be or contain symbolic links.
 * @throws ImgcopyError of kind `not-found` when there is no image, ERR_DIR_VERSION when the layout is of a later version.
 * @see https://github.com/containers/image/blob/main/docs/containers-transports.5.md
 */
export async function openDirSource(path: string): Promise<DirSource> {
  const directory = resolveLocalPath(path);
  const names = await listImageDirectory(path, `dir:${path}`);
  await readVersion(directory);
  const stored = await readImageManifest(directory);
  if (stored === undefined) throw notAnImage(path, names);
  return new DirSource(path, directory, stored.raw);
}

export class DirSource implements ImageSource {
  readonly reference: string;
  readonly concurrency = 'parallel';
  readonly roundTripMs = 0;
  readonly rangeSupport: RangeSupport;
  readonly #directory: string;
  readonly #blobs: LocalBlobStore;
  readonly #manifest: RawManifest;
  readonly #instances = new Map<Digest, Promise<RawManifest>>();

  constructor(path: string, directory: string, manifest: RawManifest) {
    this.reference = `dir:${path}`;
    this.#directory = directory;
    this.#blobs = new LocalBlobStore({ directory, fileOf: blobFileName, reference: this.reference, side: 'source' });
    this.rangeSupport = this.#blobs.ranges.rangeSupport;
    this.#manifest = manifest;
  }

  getManifestDigest(): Promise<Digest> {
    return Promise.resolve(this.#manifest.digest);
  }

  async getManifest({ instanceDigest, tag, size, signal }: GetManifestOptions = {}): Promise<RawManifest> {
    signal?.throwIfAborted();
    refuseTag(this.reference, tag, 'source');
    if (instanceDigest === undefined || instanceDigest === this.#manifest.digest) return this.#manifest;
    const known = this.#instances.get(instanceDigest);
    if (known !== undefined) return await known;
    const reading = this.#readInstance(instanceDigest, size);
    this.#instances.set(instanceDigest, reading);
    return await reading;
  }

  async getBlobSize(digest: Digest, { signal }: WaitOptions = {}): Promise<number> {
    signal?.throwIfAborted();
    return await this.#blobs.size(digest);
  }

  async getSignaturesWithFormat({ instanceDigest, signal }: GetManifestOptions = {}): Promise<readonly Buffer[]> {
    signal?.throwIfAborted();
    return await readSignatures(this.#directory, instanceDigest);
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

  async #readInstance(digest: Digest, size: number | undefined): Promise<RawManifest> {
    const stored = await readManifestFile(join(this.#directory, manifestFileName(digest)), { digest, size });
    if (stored !== undefined) return stored.raw;
    throw new ImgcopyError(
      `${this.reference} is missing manifest ${digest}: there is no file ${manifestFileName(digest)}`,
      {
        code: 'ERR_MANIFEST_NOT_FOUND',
        kind: 'not-found',
        side: 'source',
        hint: 'the directory holds only some of the platforms; name them with --platform',
      },
    );
  }
}

function notAnImage(path: string, names: readonly string[]): ImgcopyError {
  const isOciLayout = names.includes('oci-layout');
  return new ImgcopyError(`dir:${path} is not an image directory: it has no manifest.json`, {
    code: 'ERR_NOT_AN_IMAGE',
    kind: 'not-found',
    side: 'source',
    hint: isOciLayout
      ? `it is an OCI image layout: oci:${path}`
      : 'give a directory that imgcopy or skopeo wrote as dir:; if a copy into it was cut short, run that again',
  });
}
