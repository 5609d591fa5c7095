import type { Readable } from 'node:stream';
import type { BlobChunkAccessor } from '../../contract/blob-chunk-accessor.ts';
import type { BlobInfo, LeftOutBlobs, RawManifest, WaitOptions } from '../../contract/blob-info.ts';
import { brokenContract, refuseTag } from '../../contract/errors.ts';
import { checkIfDigest, type IfDigest } from '../../contract/if-digest.ts';
import type {
  CurrentManifestOptions,
  ExpectedImage,
  ImageDestination,
  ManifestPresence,
  PartialBlob,
  PartialPlan,
  PutBlobInfo,
  PutBlobOptions,
  PutBlobPartialOptions,
  PutManifestOptions,
  ReusedBlob,
  UploadedBlob,
} from '../../contract/image-destination.ts';
import type { Concurrency } from '../../contract/image-source.ts';
import type { Digest } from '../../digest/digest.ts';
import { ImgcopyError, systemErrorCode } from '../../errors/imgcopy-error.ts';
import { onDisk } from '../../local/disk-error.ts';
import { layoutBlobPath } from '../../manifest/image-layout.ts';
import type { ArchiveToWrite } from './archive-form.ts';
import { headOf, type SmallMember } from './archive-head.ts';
import { leftOutOf } from './delta-mark.ts';
import { openPlacedBlobs, type PlacedBlobs, planRanges } from './placed-blobs.ts';
import { planOrNone } from '../../partial/plan/partial-plan.ts';
import { presentArchive } from './present-archive.ts';
import {
  checkTarget,
  findTarget,
  isOnePass,
  openTarget,
  refuseTooLarge,
  WITH_SPACE,
  type OpenTarget,
  type TargetFile,
} from './target-file.ts';
import { TarWriter } from './tar-writer.ts';

/**
 * Looks at what is there, and changes nothing.
 * @throws ImgcopyError ERR_NOT_A_FILE, ERR_NO_DIRECTORY
 */
export async function openArchiveDestination(options: ArchiveToWrite): Promise<ArchiveDestination> {
  return new ArchiveDestination(await findTarget(options.path, options.reference), options);
}

/**
 * An archive that is being written: what lists the image and its manifests, then the blobs. In one pass, these are taken as they come; in a file, their
 * places are known before the first of them, and each is written at its own. The bytes are the same.
 */
export class ArchiveDestination implements ImageDestination {
  readonly reference: string;
  readonly concurrency: Concurrency;
  readonly roundTripMs = 0;
  readonly acceptsForeignLayerUrls = false;
  readonly onePlatform: boolean;
  readonly #found: TargetFile;
  readonly #options: ArchiveToWrite;
  /** Those that are in the archive, manifests included. */
  readonly #blobs = new Set<Digest>();
  /** Those that have a place in the file, and are not there yet. */
  readonly #awaited = new Set<Digest>();
  /** Once the manifests are known, what is left out of the blobs that they name. */
  #leftOut: LeftOutBlobs | undefined;
  #presence: Promise<ManifestPresence> | undefined;
  #ifDigest: IfDigest | undefined;
  #target: OpenTarget | undefined;
  #writer: TarWriter | undefined;
  /** In a file, once all but the blobs is written. */
  #places: PlacedBlobs | undefined;

  constructor(found: TargetFile, options: ArchiveToWrite) {
    this.reference = options.reference;
    this.onePlatform = options.form === 'docker';
    this.concurrency = isOnePass(found) ? 'serial' : 'parallel';
    this.#found = found;
    this.#options = options;
    this.#leftOut = options.known;
  }

  async currentManifest({ instanceDigest, tag, signal }: CurrentManifestOptions = {}): Promise<ManifestPresence> {
    signal?.throwIfAborted();
    refuseTag(this.reference, tag, 'destination');
    // The new archive takes nothing from the one that is there.
    if (instanceDigest !== undefined) return { state: 'absent' };
    this.#presence ??= presentArchive(this.#found, this.#options);
    return await this.#presence;
  }

  async checkWrite({ signal }: WaitOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    await checkTarget(this.#found);
  }

  async expectImage({ manifests, blobs }: ExpectedImage, { signal }: WaitOptions = {}): Promise<void> {
    const { form, name, known } = this.#options;
    const leftOut = leftOutOf(manifests, known);
    this.#leftOut = leftOut;
    const head = headOf({ form, name, manifests, leftOut });
    this.#target = await this.#unlessGone(openTarget(this.#found, { signal }));
    const { output, file } = this.#target;
    const writer = new TarWriter(output, { signal });
    this.#writer = writer;
    await this.#unlessGone(writeHead(writer, head));
    for (const { digest } of manifests) this.#blobs.add(digest);
    if (file === undefined) return;
    const awaited = blobs.filter(({ digest }) => !this.#isNotToBeWritten(digest));
    await refuseTooLarge(file.path, sumOf(awaited), this.reference);
    for (const { digest, size } of awaited) {
      await writer.addGap(layoutBlobPath(digest), size);
      this.#awaited.add(digest);
    }
    await writer.end();
    this.#places = await openPlacedBlobs(file, this.reference, { signal });
  }

  /** A reader of a pipe that goes away before it has all ends the copy, and so does a full disk behind standard output. */
  async #unlessGone<T>(writing: Promise<T>): Promise<T> {
    try {
      return await onDisk(this.reference, () => writing, WITH_SPACE);
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
    if (this.#blobs.has(digest)) return Promise.resolve({ reused: true, digest, size });
    return Promise.resolve(
      this.#isLeftOut(digest) ? { reused: true, digest, size, isLeftOut: true } : { reused: false },
    );
  }

  /** Ranges are for a file: what goes through a pipe is fetched as one stream. */
  async planBlobPartial(
    accessor: BlobChunkAccessor,
    info: BlobInfo,
    options: PutBlobPartialOptions,
  ): Promise<PartialPlan | undefined> {
    options.signal?.throwIfAborted();
    return isOnePass(this.#found) ? undefined : await planOrNone(planRanges(accessor, info, options));
  }

  async putBlobPartial(
    accessor: BlobChunkAccessor,
    info: BlobInfo,
    options: PutBlobPartialOptions & { readonly plan?: PartialPlan | undefined },
  ): Promise<PartialBlob> {
    options.signal?.throwIfAborted();
    await this.#written.assemble(accessor, info, options);
    return { ...this.#note(info), bytesReused: 0 };
  }

  async putBlobWithOptions(
    stream: Readable,
    info: PutBlobInfo,
    { signal }: PutBlobOptions = {},
  ): Promise<UploadedBlob> {
    const { digest, size } = info;
    if (this.#writer === undefined || digest === undefined || size === undefined)
      throw new Error('manifests come first');
    const blob = { digest, size };
    signal?.throwIfAborted();
    if (isOnePass(this.#found)) {
      await this.#unlessGone(this.#writer.addBlob(layoutBlobPath(digest), stream, blob));
    } else {
      await this.#written.write(stream, blob, { signal });
    }
    return this.#note(blob);
  }

  /** They are there already: see expectImage. */
  async putManifest(_manifest: RawManifest, { tag, ifDigest, signal }: PutManifestOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    this.#ifDigest ??= ifDigest;
    refuseTag(this.reference, tag, 'destination');
  }

  async commit(): Promise<void> {
    const [lacking] = this.#awaited;
    if (lacking !== undefined) throw brokenContract(`blob ${lacking} was announced, and not written`);
    if (this.#writer !== undefined && isOnePass(this.#found)) await this.#unlessGone(this.#writer.end());
    if (this.#ifDigest !== undefined) await this.#checkIfDigest(this.#ifDigest);
    await this.#target?.publish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer?.destroy();
    await this.#target?.[Symbol.asyncDispose]();
  }

  async #checkIfDigest(ifDigest: IfDigest): Promise<void> {
    const { path, reference } = this.#options;
    const now = await presentArchive(await findTarget(path, reference), this.#options);
    checkIfDigest(reference, ifDigest, now);
  }

  get #written(): PlacedBlobs {
    if (this.#places === undefined) throw new Error('manifests come first');
    return this.#places;
  }

  #isNotToBeWritten(digest: Digest): boolean {
    return this.#blobs.has(digest) || this.#isLeftOut(digest);
  }

  #isLeftOut(digest: Digest): boolean {
    return this.#leftOut?.digests.has(digest) === true;
  }

  #note({ digest, size }: UploadedBlob): UploadedBlob {
    this.#awaited.delete(digest);
    this.#blobs.add(digest);
    return { digest, size };
  }
}

function sumOf(blobs: readonly UploadedBlob[]): number {
  return blobs.reduce((sum, { size }) => sum + size, 0);
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
