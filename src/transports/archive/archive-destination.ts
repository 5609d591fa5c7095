import type { Readable } from 'node:stream';
import type { BlobInfo, LeftOutBlobs, RawManifest, WaitOptions } from '../../contract/blob-info.ts';
import { refuseTag } from '../../contract/errors.ts';
import type {
  CurrentManifestOptions,
  ImageDestination,
  ManifestPresence,
  PutBlobInfo,
  PutBlobOptions,
  PutManifestOptions,
  ReusedBlob,
  UploadedBlob,
} from '../../contract/image-destination.ts';
import type { Digest } from '../../digest/digest.ts';
import { ImgcopyError, systemErrorCode } from '../../errors/imgcopy-error.ts';
import { layoutBlobPath } from '../../manifest/image-layout.ts';
import type { ArchiveToWrite } from './archive-form.ts';
import { headOf, type SmallMember } from './archive-head.ts';
import { leftOutOf } from './delta-mark.ts';
import { presentArchive } from './present-archive.ts';
import { findTarget, openTarget, type OpenTarget, type TargetFile } from './target-file.ts';
import { TarWriter } from './tar-writer.ts';

/** An archive that is written in one pass: what lists the image and its manifests, then the blobs as they come. */
export class ArchiveDestination implements ImageDestination {
  readonly reference: string;
  readonly concurrency = 'serial';
  readonly roundTripMs = 0;
  readonly acceptsForeignLayerUrls = false;
  readonly onePlatform: boolean;
  readonly #options: ArchiveToWrite;
  readonly #blobs = new Set<Digest>();
  /** Once the manifests are known, what is left out of the blobs that they name. */
  #leftOut: LeftOutBlobs | undefined;
  #found: Promise<TargetFile> | undefined;
  #presence: Promise<ManifestPresence> | undefined;
  #target: OpenTarget | undefined;
  #writer: TarWriter | undefined;

  constructor(options: ArchiveToWrite) {
    this.reference = options.reference;
    this.onePlatform = options.form === 'docker';
    this.#options = options;
    this.#leftOut = options.known;
  }

  /** @throws ImgcopyError ERR_NOT_A_FILE, ERR_NO_DIRECTORY */
  async begin(): Promise<void> {
    await this.#find();
  }

  async currentManifest({ instanceDigest, tag, signal }: CurrentManifestOptions = {}): Promise<ManifestPresence> {
    signal?.throwIfAborted();
    refuseTag(this.reference, tag, 'destination');
    // The new archive takes nothing from the one that is there.
    if (instanceDigest !== undefined) return { state: 'absent' };
    this.#presence ??= this.#find().then((target) => presentArchive(target, this.#options));
    return await this.#presence;
  }

  async expectManifests(manifests: readonly RawManifest[], { signal }: WaitOptions = {}): Promise<void> {
    const { form, name, known } = this.#options;
    this.#leftOut = leftOutOf(manifests, known);
    const head = headOf({ form, name, manifests, leftOut: this.#leftOut });
    this.#target = await this.#unlessGone(openTarget(await this.#find(), { signal }));
    const writer = new TarWriter(this.#target.output, { signal });
    this.#writer = writer;
    await this.#unlessGone(writeHead(writer, head));
  }

  /** A reader of a pipe that goes away before it has all ends the copy. */
  async #unlessGone<T>(writing: Promise<T>): Promise<T> {
    try {
      return await writing;
    } catch (error) {
      if (systemErrorCode(error) !== 'EPIPE') throw error;
      throw new ImgcopyError(`what reads ${this.reference} has stopped reading`, {
        code: 'ERR_READER_GONE',
        side: 'destination',
        cause: error,
      });
    }
  }

  tryReusingBlobWithOptions({ digest, size }: BlobInfo): Promise<ReusedBlob> {
    const isNotToBeWritten = this.#blobs.has(digest) || this.#leftOut?.digests.has(digest) === true;
    return Promise.resolve(isNotToBeWritten ? { reused: true, digest, size } : { reused: false });
  }

  async putBlobWithOptions(
    stream: Readable,
    info: PutBlobInfo,
    { signal }: PutBlobOptions = {},
  ): Promise<UploadedBlob> {
    const { digest, size } = info;
    if (this.#writer === undefined || digest === undefined || size === undefined)
      throw new Error('manifests come first');
    signal?.throwIfAborted();
    await this.#unlessGone(this.#writer.addBlob(layoutBlobPath(digest), stream, { digest, size }));
    this.#blobs.add(digest);
    return { digest, size };
  }

  /** They are there already: see expectManifests. */
  async putManifest(_manifest: RawManifest, { tag, signal }: PutManifestOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    refuseTag(this.reference, tag, 'destination');
  }

  async commit(): Promise<void> {
    if (this.#writer !== undefined) await this.#unlessGone(this.#writer.end());
    await this.#target?.publish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer?.destroy();
    await this.#target?.[Symbol.asyncDispose]();
  }

  #find(): Promise<TargetFile> {
    this.#found ??= findTarget(this.#options.path, this.reference);
    return this.#found;
  }
}

async function writeHead(writer: TarWriter, head: readonly SmallMember[]): Promise<void> {
  const isBlob = (member: string): boolean => member.startsWith('blobs/');
  for (const { name: member, bytes } of head.filter((one) => !isBlob(one.name))) await writer.add(member, bytes);
  const algorithms = new Set(head.filter((one) => isBlob(one.name)).map((one) => one.name.split('/')[1]));
  for (const folder of ['', ...[...algorithms].map((algorithm) => `${algorithm}/`)]) {
    await writer.addDirectory(`blobs/${folder}`);
  }
  for (const { name: member, bytes } of head.filter((one) => isBlob(one.name))) await writer.add(member, bytes);
}
