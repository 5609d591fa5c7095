import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { LocalBlobLadder } from '../../local/blob-ladder.ts';
import { LocalBlobStore } from '../../local/blob-store.ts';
import { replaceFile } from '../../local/durable-files.ts';
import { ContentMismatchError, type Digest, digestAlgorithm } from '../../digest/digest.ts';
import { manifestDigest } from '../../manifest/parse-manifest.ts';
import { OldLayers } from '../../partial/plan/old-layers.ts';
import type { BlobChunkAccessor } from '../../contract/blob-chunk-accessor.ts';
import { refuseTag } from '../../contract/errors.ts';
import { checkIfDigest } from '../../contract/if-digest.ts';
import type { BlobInfo, RawManifest, WaitOptions } from '../../contract/blob-info.ts';
import type {
  CurrentManifestOptions,
  ImageDestination,
  ManifestPresence,
  PartialBlob,
  PartialPlan,
  PutBlobInfo,
  PutBlobOptions,
  PutBlobPartialOptions,
  PutManifestOptions,
  ReusedBlob,
  TryReusingBlobOptions,
  UploadedBlob,
} from '../../contract/image-destination.ts';
import { commitImage } from './commit-image.ts';
import { imagePresence, presenceOf } from '../../local/image-files.ts';
import {
  blobFileName,
  imagePlace,
  isLayoutName,
  MANIFEST_FILE,
  manifestFileName,
  readImageManifest,
  VERSION_FILE,
} from './layout.ts';
import { readVersion, VersionFile, versionFor } from './layout-version.ts';
import { readManifestFile, type StoredManifest } from '../../local/manifest-file.ts';
import { signatureFileName } from './signature-files.ts';
import { resolveLocalPath } from '../../local/local-path.ts';
import {
  checkTargetDirectory,
  openTargetDirectory,
  type TargetDirectory,
  type TargetLayout,
} from '../../local/target-directory.ts';

/** What the directory may hold, and what shows that it is an image's. */
const LAYOUT: Omit<TargetLayout, 'reference'> = {
  isPart: (entry) => !entry.isDirectory() && isLayoutName(entry.name),
  marks: [VERSION_FILE, MANIFEST_FILE],
};

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

/** A directory as it is there to be read. */
interface ReadableDirectory {
  /** Absolute. */
  readonly path: string;
  readonly ladder: LocalBlobLadder;
}

/** A directory that was made and locked. */
interface BegunDirectory extends ReadableDirectory {
  readonly target: TargetDirectory;
  readonly version: VersionFile;
}

export class DirDestination implements ImageDestination {
  readonly reference: string;
  readonly concurrency = 'parallel';
  readonly roundTripMs = 0;
  readonly acceptsForeignLayerUrls = false;
  readonly #path: string;
  readonly #force: boolean;
  readonly #instanceSignatures = new Set<string>();
  #unbegun: ReadableDirectory | undefined;
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
    const { reference } = this;
    this.#current = undefined;
    const target = await openTargetDirectory(this.#path, { ...LAYOUT, reference });
    const { path } = target;
    try {
      const version = new VersionFile(path, await readVersion(path));
      this.#begun = { ...this.#readableAt(path), target, version };
    } catch (error) {
      await target[Symbol.asyncDispose]();
      throw error;
    }
  }

  async checkWrite({ signal }: WaitOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    const path = await checkTargetDirectory(this.#path, { ...LAYOUT, reference: this.reference });
    if (path !== undefined) await readVersion(path);
  }

  async currentManifest(options: CurrentManifestOptions = {}): Promise<ManifestPresence> {
    const { instanceDigest, tag, digestOnly, signal } = options;
    signal?.throwIfAborted();
    refuseTag(this.reference, tag, 'destination');
    if (instanceDigest !== undefined) return await presenceOf(() => this.#instanceFile(instanceDigest));
    if (digestOnly) return await this.#presence({ digestOnly });
    this.#current ??= this.#presence();
    return await this.#current;
  }

  tryReusingBlobWithOptions(info: BlobInfo, options: TryReusingBlobOptions): Promise<ReusedBlob> {
    return this.#readable.ladder.tryReusingBlobWithOptions(info, options);
  }

  planBlobPartial(
    accessor: BlobChunkAccessor,
    info: BlobInfo,
    options: PutBlobPartialOptions,
  ): Promise<PartialPlan | undefined> {
    return this.#readable.ladder.planBlobPartial(accessor, info, options);
  }

  async putBlobPartial(
    accessor: BlobChunkAccessor,
    info: BlobInfo,
    options: PutBlobPartialOptions & { readonly plan?: PartialPlan | undefined },
  ): Promise<PartialBlob> {
    const { ladder, version } = this.#written;
    await version.raiseTo(versionFor([blobFileName(info.digest)]));
    return await ladder.putBlobPartial(accessor, info, options);
  }

  async putBlobWithOptions(stream: Readable, info: PutBlobInfo, options: PutBlobOptions): Promise<UploadedBlob> {
    const { ladder, version } = this.#written;
    try {
      await version.raiseTo(versionFor(info.digest === undefined ? [] : [blobFileName(info.digest)]));
    } catch (error) {
      stream.destroy();
      throw error;
    }
    return await ladder.putBlobWithOptions(stream, info, options);
  }

  async putManifest(manifest: RawManifest, options: PutManifestOptions = {}): Promise<void> {
    const { instanceDigest, tag, ifDigest, signal } = options;
    signal?.throwIfAborted();
    refuseTag(this.reference, tag, 'destination');
    // Nobody else writes while the directory is locked.
    if (ifDigest !== undefined) checkIfDigest(this.reference, ifDigest, await this.#presence({ digestOnly: true }));
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
    await commitImage(this.#written.path, this.#written.version, {
      manifest,
      signatures: this.#signatures,
      instanceSignatures: this.#instanceSignatures,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#begun?.target[Symbol.asyncDispose]();
  }

  #readableAt(path: string): ReadableDirectory {
    const oldLayers = new OldLayers(
      () => readImageManifest(path).then((stored) => (stored === undefined ? [] : [stored.raw])),
      ({ digest }) => this.#instance(digest),
      undefined,
    );
    const blobs = new LocalBlobStore({
      directory: path,
      fileOf: blobFileName,
      reference: this.reference,
      side: 'destination',
    });
    return { path, ladder: new LocalBlobLadder({ blobs, oldLayers, force: this.#force }) };
  }

  /** Before it is begun, it can be asked what it holds. */
  get #readable(): ReadableDirectory {
    return this.#begun ?? (this.#unbegun ??= this.#readableAt(resolveLocalPath(this.#path)));
  }

  get #written(): BegunDirectory {
    if (this.#begun === undefined) throw new Error(`${this.reference} is used before begin()`);
    return this.#begun;
  }

  get #directory(): string {
    return this.#readable.path;
  }

  #presence(options?: { readonly digestOnly: boolean }): Promise<ManifestPresence> {
    const directory = this.#directory;
    return imagePresence(imagePlace(directory), () => readImageManifest(directory), options);
  }

  async #instance(digest: Digest): Promise<RawManifest> {
    const stored = await this.#instanceFile(digest);
    if (stored === undefined) throw new Error(`there is no manifest ${digest} in ${this.reference}`);
    return stored.raw;
  }

  #instanceFile(digest: Digest): Promise<StoredManifest | undefined> {
    return readManifestFile(join(this.#directory, manifestFileName(digest)), { digest });
  }

  async #writeInstanceFile(name: string, bytes: Buffer): Promise<void> {
    await this.#written.version.raiseTo(versionFor([name]));
    await replaceFile(this.#written.path, name, bytes);
  }
}
