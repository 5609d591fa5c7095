import type { Readable } from 'node:stream';
import { type BlobFile, openBlobFile } from '../../local/blob-file.ts';
import { replaceFile } from '../../local/durable-files.ts';
import { ContentMismatchError, type Digest, digestAlgorithm } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { OneAtATime } from '../../io/one-at-a-time.ts';
import { manifestDigest } from '../../manifest/parse-manifest.ts';
import { OldLayers } from '../../partial/plan/old-layers.ts';
import type { Candidate } from '../../partial/plan/plan-blob.ts';
import type { BlobChunkAccessor } from '../../contract/blob-chunk-accessor.ts';
import type { BlobInfo, RawManifest, WaitOptions } from '../../contract/blob-info.ts';
import { PartialBlobUnavailableError } from '../../contract/errors.ts';
import type {
  CurrentManifestOptions,
  ImageDestination,
  ManifestPresence,
  PartialBlob,
  PutBlobInfo,
  PutBlobOptions,
  PutBlobPartialOptions,
  PutManifestOptions,
  ReusedBlob,
  TryReusingBlobOptions,
  UploadedBlob,
} from '../../contract/image-destination.ts';
import { commitImage } from './commit-image.ts';
import { dirBlobAccessor, isVerified } from './dir-blobs.ts';
import { isPresent } from './image-files.ts';
import { blobFileName, manifestFileName } from './layout.ts';
import { readVersion, VersionFile, versionFor } from './layout-version.ts';
import { readImageManifest, readInstanceManifest } from './manifest-file.ts';
import { writeAssembled } from './partial-blob.ts';
import { signatureFileName } from './signature-files.ts';
import { imagePresence } from './image-presence.ts';
import { openTargetDirectory, type TargetDirectory } from './target-directory.ts';

/** A shorter part is sooner fetched again than found again. */
const MIN_KEPT_BYTES = 1024 * 1024;

export interface DirDestinationOptions {
  /** Whether blobs that are there are hashed before they are reused. By default their size has to do. */
  readonly force?: boolean | undefined;
}

/**
 * A directory for writing an image in the containers `dir:` layout. Nothing is written to it before the first blob or manifest; the image that it holds
 * stays whole until the new one is.
 *
 * @param path  relative to the working directory, or absolute. It may be a symbolic link.
 */
export function openDirDestination(path: string, options: DirDestinationOptions = {}): DirDestination {
  return new DirDestination(path, options);
}

/** A directory that was made and locked. */
interface BegunDirectory {
  readonly target: TargetDirectory;
  readonly version: VersionFile;
  /** Reads what the directory has. */
  readonly own: BlobChunkAccessor;
  readonly oldLayers: OldLayers;
}

export class DirDestination implements ImageDestination {
  readonly reference: string;
  readonly repository = undefined;
  readonly concurrency = 'parallel';
  readonly roundTripMs = 0;
  readonly acceptsForeignLayerUrls = false;
  readonly #path: string;
  readonly #force: boolean;
  /** Two writers of one digest would write to one file. */
  readonly #writers = new OneAtATime<Digest | Readable>();
  readonly #instanceSignatures = new Set<string>();
  #begun: BegunDirectory | undefined;
  #current: Promise<ManifestPresence> | undefined;
  #manifest: RawManifest | undefined;
  #signatures: readonly Buffer[] | undefined;

  constructor(path: string, { force = false }: DirDestinationOptions) {
    this.reference = `dir:${path}`;
    this.#path = path;
    this.#force = force;
  }

  /**
   * Makes the directory with its parents where it is missing, and locks it until this is disposed of.
   * @throws ImgcopyError ERR_DIR_NOT_EMPTY (kind `usage`) for files that are no image's, ERR_DIR_LOCKED while another imgcopy writes there,
   *   ERR_DIR_VERSION for a later version of the layout, ERR_NOT_A_DIRECTORY, ERR_NOT_WRITABLE.
   */
  async begin({ signal }: WaitOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    const target = await openTargetDirectory(this.#path);
    const { path } = target;
    try {
      const version = new VersionFile(path, await readVersion(path));
      const oldLayers = new OldLayers(
        () => readImageManifest(path).then((stored) => stored?.raw),
        ({ digest }) => this.#instance(digest),
        undefined,
      );
      this.#begun = { target, version, own: dirBlobAccessor(path), oldLayers };
    } catch (error) {
      await target[Symbol.asyncDispose]();
      throw error;
    }
  }

  async currentManifest({ digestOnly, signal }: CurrentManifestOptions = {}): Promise<ManifestPresence> {
    signal?.throwIfAborted();
    if (digestOnly) return await imagePresence(this.#directory, { digestOnly });
    this.#current ??= imagePresence(this.#directory);
    return await this.#current;
  }

  async tryReusingBlobWithOptions(info: BlobInfo, { signal }: TryReusingBlobOptions): Promise<ReusedBlob> {
    signal?.throwIfAborted();
    const { digest, size } = info;
    if (!(await isPresent(this.#directory, { name: blobFileName(digest), size }))) return { reused: false };
    if (this.#force && !(await isVerified(this.#directory, info, signal))) return { reused: false };
    return { reused: true, digest, size };
  }

  async putBlobPartial(
    accessor: BlobChunkAccessor,
    info: BlobInfo,
    options: PutBlobPartialOptions,
  ): Promise<PartialBlob> {
    const { cache, memory, signal, layerIndex, platform, reusePieces = true } = options;
    signal?.throwIfAborted();
    const { digest, size } = info;
    const candidates = async (): Promise<readonly Candidate[]> =>
      reusePieces ? this.#presentOf(await this.#written.oldLayers.find(info, { layerIndex, platform, cache })) : [];
    await this.#written.version.raiseTo(versionFor([blobFileName(digest)]));
    const input = { accessor, info, own: this.#written.own, candidates, memory, signal };
    const file = { directory: this.#directory, digest, size, finalName: blobFileName, resume: true, signal };
    const { tail, ...reuse } = await this.#writers.run(digest, async () => {
      await using opened = await openBlobFile(file);
      return await keepingPart(opened, () => writeAssembled(opened, input));
    });
    if (tail !== undefined) cache?.recordChunkedBlob({ digest, size, format: tail.format });
    return { digest, size, ...reuse };
  }

  async putBlobWithOptions(stream: Readable, info: PutBlobInfo, { signal }: PutBlobOptions): Promise<UploadedBlob> {
    try {
      signal?.throwIfAborted();
      const { digest, size } = info;
      const directory = this.#directory;
      await this.#written.version.raiseTo(versionFor(digest === undefined ? [] : [blobFileName(digest)]));
      // It may fail before its turn: who reads it then is told.
      stream.on('error', () => undefined);
      return await this.#writers.run(digest ?? stream, async () => {
        await using file = await openBlobFile({ directory, digest, size, finalName: blobFileName, signal });
        return await writeWhole(file, stream);
      });
    } finally {
      stream.destroy();
    }
  }

  async putManifest(manifest: RawManifest, { instanceDigest, signal }: PutManifestOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    if (instanceDigest === undefined) {
      this.#manifest = manifest;
      return;
    }
    const found = manifestDigest(manifest.bytes, manifest.mediaType, digestAlgorithm(instanceDigest));
    if (found !== instanceDigest) {
      throw new ContentMismatchError('a manifest does not match its digest', instanceDigest, found);
    }
    await this.#writeInstanceFile(manifestFileName(instanceDigest), manifest.bytes);
  }

  async putSignaturesWithFormat(signatures: readonly Buffer[], options: PutManifestOptions = {}): Promise<void> {
    const { instanceDigest, signal } = options;
    signal?.throwIfAborted();
    if (instanceDigest === undefined) {
      this.#signatures = signatures;
      return;
    }
    for (const [index, signature] of signatures.entries()) {
      const name = signatureFileName(index, instanceDigest);
      await this.#writeInstanceFile(name, signature);
      this.#instanceSignatures.add(name);
    }
  }

  async commit({ signal }: WaitOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    const isPut = this.#manifest !== undefined || this.#signatures !== undefined;
    const manifest = this.#manifest ?? (isPut ? await readImageManifest(this.#directory) : undefined)?.raw;
    if (manifest === undefined) return;
    await commitImage(this.#directory, this.#written.version, {
      manifest,
      signatures: this.#signatures,
      instanceSignatures: this.#instanceSignatures,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#begun?.target[Symbol.asyncDispose]();
  }

  get #written(): BegunDirectory {
    if (this.#begun === undefined) throw new Error(`${this.reference} is used before begin()`);
    return this.#begun;
  }

  get #directory(): string {
    return this.#written.target.path;
  }

  /** Of old layers, those that are there whole. */
  async #presentOf(candidates: readonly Candidate[]): Promise<readonly Candidate[]> {
    const present = candidates.map(({ info: { digest, size } }) =>
      isPresent(this.#directory, { name: blobFileName(digest), size }),
    );
    const answers = await Promise.all(present);
    return candidates.filter((_candidate, index) => answers[index]);
  }

  async #instance(digest: Digest): Promise<RawManifest> {
    const stored = await readInstanceManifest(this.#directory, digest);
    if (stored === undefined) throw new Error(`there is no manifest ${digest} in ${this.reference}`);
    return stored.raw;
  }

  async #writeInstanceFile(name: string, bytes: Buffer): Promise<void> {
    await this.#written.version.raiseTo(versionFor([name]));
    await replaceFile(this.#directory, name, bytes);
  }
}

async function writeWhole(file: BlobFile, stream: Readable): Promise<UploadedBlob> {
  return await keepingPart(file, async () => {
    await file.writeStream(stream);
    return await file.publish();
  });
}

/** What was written when a blob could not be finished is left to the next run, unless it is wrong. */
async function keepingPart<T>(file: BlobFile, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    const isWrong =
      error instanceof PartialBlobUnavailableError || (error instanceof ImgcopyError && error.kind === 'integrity');
    if (!isWrong && file.contiguous >= MIN_KEPT_BYTES) await file.keep();
    throw error;
  }
}
