import type { Readable } from 'node:stream';
import {
  LOCAL_RANGES,
  type GetBlobAtOptions,
  type ImageSourceChunk,
  type RangeAnswer,
  type RangeSupport,
} from '../../contract/blob-chunk-accessor.ts';
import type { BlobInfo, LeftOutBlobs, RawManifest, WaitOptions } from '../../contract/blob-info.ts';
import { refuseTag } from '../../contract/errors.ts';
import type {
  BlobStream,
  Concurrency,
  GetBlobOptions,
  GetManifestOptions,
  ImageSource,
} from '../../contract/image-source.ts';
import { ContentMismatchError, type Digest } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import type { Archive, OpenMemberOptions } from './archive.ts';
import { type ArchiveImage, readManifest } from './archive-image.ts';
import { lacksManifest } from './layout-image.ts';

/** An image in an archive. It owns the archive. */
export class ArchiveSource implements ImageSource {
  readonly reference: string;
  readonly tag: string | undefined;
  readonly fullName: string | undefined;
  readonly concurrency: Concurrency;
  readonly roundTripMs = 0;
  readonly onePlatform: boolean;
  readonly leftOut: LeftOutBlobs | undefined;
  readonly rangeSupport: RangeSupport | undefined;
  readonly getBlobAt: ImageSource['getBlobAt'];
  readonly #archive: Archive;
  readonly #image: ArchiveImage;
  readonly #manifests = new Map<Digest, Promise<RawManifest>>();

  /** @param reference  as the user named the image. */
  constructor(archive: Archive, image: ArchiveImage, reference: string) {
    this.reference = reference;
    this.tag = image.tag;
    this.fullName = image.fullName;
    this.concurrency = archive.isStream ? 'serial' : 'parallel';
    this.onePlatform = image.isSparse ?? false;
    this.leftOut = image.leftOut;
    this.#archive = archive;
    this.#image = image;
    if (archive.readRanges === undefined) return;
    this.rangeSupport = LOCAL_RANGES;
    this.getBlobAt = (info, chunks, options) => this.#readRanges(info, chunks, options);
  }

  getManifestDigest(): Promise<Digest> {
    return Promise.resolve(this.#image.manifest.digest);
  }

  async getManifest({ instanceDigest, tag, size, signal }: GetManifestOptions = {}): Promise<RawManifest> {
    signal?.throwIfAborted();
    refuseTag(this.reference, tag, 'source');
    const { manifest } = this.#image;
    if (instanceDigest === undefined || instanceDigest === manifest.digest) return manifest;
    const reading = this.#manifests.get(instanceDigest) ?? this.#readManifest(instanceDigest, size, signal);
    this.#manifests.set(instanceDigest, reading);
    return await reading;
  }

  async getBlobSize(digest: Digest, options: WaitOptions = {}): Promise<number> {
    const size = await this.#archive.sizeOf(this.#memberOf(digest), options);
    if (size === undefined) throw this.#lacksBlob(digest);
    return size;
  }

  async getBlob(info: BlobInfo, { givesBack, signal }: GetBlobOptions = {}): Promise<BlobStream> {
    const opened = await this.#archive.open(this.#memberOf(info.digest), { givesBack, signal });
    if (opened === undefined) throw this.#lacksBlob(info.digest);
    if (opened.size === info.size) return opened;
    opened.stream.destroy();
    throw this.#wrongSize(info, opened.size);
  }

  async finish(options: WaitOptions = {}): Promise<void> {
    await this.#archive.finish?.(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#archive[Symbol.asyncDispose]();
  }

  async #readManifest(digest: Digest, size: number | undefined, signal: AbortSignal | undefined): Promise<RawManifest> {
    const member = this.#image.memberOf(digest);
    const found = member && (await readManifest(this.#archive, member, { digest, size }, { signal }));
    return found || this.#refuseManifest(digest);
  }

  #refuseManifest(digest: Digest): never {
    throw lacksManifest(this.reference, digest);
  }

  async #readRanges(
    info: BlobInfo,
    chunks: readonly ImageSourceChunk[],
    { givesBack, signal }: GetBlobAtOptions = {},
  ): Promise<RangeAnswer> {
    return { kind: 'ranges', readers: this.#checkedRanges(info, chunks, { givesBack, signal }) };
  }

  async *#checkedRanges(
    info: BlobInfo,
    chunks: readonly ImageSourceChunk[],
    options: OpenMemberOptions,
  ): AsyncGenerator<Readable> {
    const member = this.#memberOf(info.digest);
    const size = await this.#archive.sizeOf(member);
    const readers = this.#archive.readRanges?.(member, chunks, options);
    if (size === undefined || readers === undefined) throw this.#lacksBlob(info.digest);
    if (size !== info.size) throw this.#wrongSize(info, size);
    yield* readers;
  }

  #memberOf(digest: Digest): string {
    const member = this.#image.memberOf(digest);
    if (member === undefined) throw this.#lacksBlob(digest);
    return member;
  }

  #lacksBlob(digest: Digest): ImgcopyError {
    const member = this.#image.memberOf(digest);
    const where = member === undefined ? '' : `: there is no member ${member}`;
    return new ImgcopyError(`${this.reference} is missing blob ${digest}${where}`, {
      code: 'ERR_BLOB_NOT_FOUND',
      kind: 'not-found',
      side: 'source',
      hint:
        this.leftOut?.digests.has(digest) === true
          ? 'copy the image to a destination that has this blob, or write the archive again without --since'
          : 'save the image again, for the archive is not complete, or name a platform that it has with --platform',
    });
  }

  #wrongSize({ digest, size }: BlobInfo, found: number): ContentMismatchError {
    return new ContentMismatchError(
      `blob ${digest} in ${this.reference} has the wrong size`,
      `${size} bytes`,
      `${found} bytes`,
    );
  }
}
