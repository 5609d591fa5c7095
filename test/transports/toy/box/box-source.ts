import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { digestHex, isDigest, type Digest } from '../../../../src/digest/digest.ts';
import { ImgcopyError } from '../../../../src/errors/imgcopy-error.ts';
import { LocalBlobStore } from '../../../../src/local/blob-store.ts';
import { parseManifest } from '../../../../src/manifest/parse-manifest.ts';
import type { BlobInfo, RawManifest, WaitOptions } from '../../../../src/contract/blob-info.ts';
import type { BlobStream, GetManifestOptions, ImageSource } from '../../../../src/contract/image-source.ts';
import { readTags } from './index.ts';

export function fileOf(digest: Digest): string {
  return `blob-${digestHex(digest)}`;
}

export class BoxSource implements ImageSource {
  readonly reference: string;
  readonly concurrency = 'parallel';
  readonly #path: string;
  readonly #which: string;
  readonly #blobs: LocalBlobStore;

  /** @param which  a tag or a digest. */
  constructor(path: string, which: string, reference: string) {
    this.reference = reference;
    this.#path = resolve(path);
    this.#which = which;
    this.#blobs = new LocalBlobStore({ directory: this.#path, fileOf, reference, side: 'source' });
  }

  async getManifest({ instanceDigest, tag }: GetManifestOptions = {}): Promise<RawManifest> {
    const which = tag ?? this.#which;
    const own = isDigest(which) ? which : (await readTags(this.#path))[which];
    const digest = instanceDigest ?? own;
    const bytes = digest && (await readFile(join(this.#path, fileOf(digest))).catch(() => undefined));
    if (digest === undefined || bytes === undefined) {
      throw new ImgcopyError(`${this.reference} is not in the box`, {
        code: 'ERR_NOT_FOUND',
        kind: 'not-found',
        side: 'source',
      });
    }
    return { bytes, digest, mediaType: parseManifest(bytes, '').mediaType };
  }

  async getBlob(info: BlobInfo, options: WaitOptions = {}): Promise<BlobStream> {
    return { stream: await this.#blobs.read(info, options), size: info.size };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nothing is held open.
  }
}
