import { readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { ContentMismatchError, type Digest, digestAlgorithm, digestHex } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { makeDirectory } from '../../io/make-directory.ts';
import { LocalBlobLadder } from '../../local/blob-ladder.ts';
import { LocalBlobStore } from '../../local/blob-store.ts';
import { removeFreeLocks, waitForLock, whileLocked } from '../../local/directory-lock.ts';
import { onDisk } from '../../local/disk-error.ts';
import { isStagedName, replaceFile, syncDirectory } from '../../local/durable-files.ts';
import { imagePresence, presenceOf } from '../../local/image-files.ts';
import type { StoredManifest } from '../../local/manifest-file.ts';
import { placeOfPath, resolveLocalPath } from '../../local/local-path.ts';
import {
  checkTargetDirectory,
  prepareTargetDirectory,
  type TargetDirectory,
  type TargetLayout,
} from '../../local/target-directory.ts';
import {
  type ImageToList,
  INDEX_FILE,
  LAYOUT_FILE,
  LAYOUT_FILE_BYTES,
  layoutBlobPath,
  type LayoutImage,
  parseLayoutIndex,
  withImages,
} from '../../manifest/image-layout.ts';
import { manifestDigest, parseManifest } from '../../manifest/parse-manifest.ts';
import { asReferrer, type Referrer, referrersTag } from '../../manifest/referrers-index.ts';
import { OldLayers } from '../../partial/plan/old-layers.ts';
import type { BlobChunkAccessor } from '../../contract/blob-chunk-accessor.ts';
import { checkIfDigest, type IfDigest } from '../../contract/if-digest.ts';
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
import { hasLayoutFile, layoutPlace, readIndexFile, readLayoutManifest } from './layout-files.ts';
import { type NewLayout, noteNewLayout } from './new-layout.ts';
import { LayoutReferrers, type ListedLayout, withReferrers } from './layout-referrers.ts';
import { checkNewName, formatLayoutName, type LayoutName } from '../../reference/layout-name.ts';

/** What the directory may hold, and what shows that it is a layout. */
const LAYOUT: Omit<TargetLayout, 'reference'> = {
  isPart: (entry) => (entry.isDirectory() ? entry.name === 'blobs' : entry.name === INDEX_FILE),
  marks: [LAYOUT_FILE],
  mayHoldOthers: true,
};

/** Images that are looked at for pieces of a layer: those that were added last. */
const MAX_OLD_IMAGES = 256;

export interface OciDestinationOptions {
  /** Whether blobs that are there are hashed before they are reused. By default their size has to do. */
  readonly force?: boolean | undefined;
  /** Whether a name that exists stays with its image. Default false. */
  readonly noClobber?: boolean | undefined;
  /** Hears that a name goes from another image to this one. Default: nobody asks. */
  readonly onNameMoved?: ((message: string) => void) | undefined;
  /** Where the layout is, the same for all names of that directory. Default: it is not told to other destinations before `begin`. */
  readonly place?: string | undefined;
}

/**
 * A layout for writing an image to. Its other images stay, and so do blobs that no image needs any more. Several copies may write to one layout at the same time.
 */
export function openOciDestination(name: LayoutName, options: OciDestinationOptions = {}): OciDestination {
  return new OciDestination(name, options);
}

/** A layout as it is there to be read. */
interface ReadableLayout {
  /** Absolute. */
  readonly path: string;
  readonly ladder: LocalBlobLadder;
}

/** A name, and the image that had it. */
interface MovedName {
  readonly name: string;
  readonly digest: Digest;
}

export class OciDestination implements ImageDestination {
  readonly reference: string;
  readonly concurrency = 'parallel';
  readonly roundTripMs = 0;
  readonly acceptsForeignLayerUrls = false;
  readonly #name: LayoutName;
  readonly #layoutReference: string;
  readonly #force: boolean;
  readonly #noClobber: boolean;
  readonly #onNameMoved: OciDestinationOptions['onNameMoved'];
  readonly #current = new Map<string | undefined, Promise<ManifestPresence>>();
  /** To be written by the commit. */
  readonly #manifests = new Map<Digest, RawManifest>();
  readonly #listed: ImageToList[] = [];
  /** What the name has to hold when the image gets it. */
  #ifDigest: IfDigest | undefined;
  /** To be listed by the commit among what refers to their subjects. */
  readonly #referrers = new Map<Digest, Referrer[]>();
  #unbegun: ReadableLayout | undefined;
  #begun: (ReadableLayout & { readonly target: TargetDirectory }) | undefined;
  #images: Promise<readonly LayoutImage[]> | undefined;
  /** Where it had no image when this began. */
  #newLayout: NewLayout | undefined;
  /** Those that were there before. */
  #listedReferrers: LayoutReferrers | undefined;
  #place: string | undefined;

  constructor(name: LayoutName, options: OciDestinationOptions) {
    const { force = false, noClobber = false, onNameMoved, place } = options;
    this.reference = `oci:${formatLayoutName(name)}`;
    this.#layoutReference = `oci:${name.path}`;
    this.#name = name;
    this.#force = force;
    this.#noClobber = noClobber;
    this.#onNameMoved = onNameMoved;
    this.#place = place;
  }

  get blobPlace(): string | undefined {
    return this.#place;
  }

  /**
   * Makes the directory with its parents, and the layout in it, where they are missing.
   * @throws ImgcopyError ERR_DIR_NOT_EMPTY (kind `usage`) for files that are no layout's, ERR_LAYOUT_VERSION for another version, ERR_INVALID_LAYOUT for
   *   a layout that cannot be read, ERR_NOT_A_DIRECTORY, ERR_NOT_WRITABLE.
   */
  async begin({ signal }: WaitOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    this.#current.clear();
    const target = await prepareTargetDirectory(this.#name.path, { ...LAYOUT, reference: this.#layoutReference });
    try {
      this.#images = Promise.resolve(await this.#beginLayout(target.path, signal));
      this.#begun = { ...this.#readableAt(target.path), target };
      this.#place = await placeOfPath(target.path);
    } catch (error) {
      await this.#leave(target);
      throw error;
    }
  }

  async checkWrite({ signal }: WaitOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    const reference = this.#layoutReference;
    const path = await checkTargetDirectory(this.#name.path, { ...LAYOUT, reference });
    if (path === undefined) return;
    await hasLayoutFile(path, reference);
    await this.#readImages(path);
  }

  async currentManifest(options: CurrentManifestOptions = {}): Promise<ManifestPresence> {
    const { instanceDigest, tag, digestOnly, signal } = options;
    signal?.throwIfAborted();
    if (instanceDigest !== undefined)
      return await presenceOf(() => readLayoutManifest(this.#readable.path, { digest: instanceDigest }));
    if (digestOnly) return await this.#presence(tag, { digestOnly });
    let current = this.#current.get(tag);
    if (current === undefined) {
      current = this.#presence(tag);
      this.#current.set(tag, current);
    }
    return await current;
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

  putBlobPartial(
    accessor: BlobChunkAccessor,
    info: BlobInfo,
    options: PutBlobPartialOptions & { readonly plan?: PartialPlan | undefined },
  ): Promise<PartialBlob> {
    return this.#written.ladder.putBlobPartial(accessor, info, options);
  }

  putBlobWithOptions(stream: Readable, info: PutBlobInfo, options: PutBlobOptions): Promise<UploadedBlob> {
    return this.#written.ladder.putBlobWithOptions(stream, info, options);
  }

  async putManifest(manifest: RawManifest, options: PutManifestOptions = {}): Promise<void> {
    const { instanceDigest, tag, ifDigest, signal } = options;
    signal?.throwIfAborted();
    this.#ifDigest ??= ifDigest;
    if (tag !== undefined) checkNewName(tag, `${this.#layoutReference}:${tag}`);
    const { bytes, mediaType, digest } = manifest;
    const found = manifestDigest(bytes, mediaType, digestAlgorithm(instanceDigest ?? digest));
    const expected = instanceDigest ?? digest;
    if (found !== expected) throw new ContentMismatchError('a manifest does not match its digest', expected, found);
    this.#manifests.set(digest, manifest);
    if (instanceDigest === undefined) {
      const name = tag ?? this.#name.name;
      this.#listed.push({ descriptor: { mediaType, digest, size: bytes.length }, name });
    }
    this.noteReferrer(manifest);
  }

  noteReferrer(manifest: RawManifest): void {
    const referrer = asReferrer(manifest, parseManifest(manifest.bytes, manifest.mediaType));
    if (referrer === undefined) return;
    const others = this.#referrers.get(referrer.subject);
    if (others === undefined) this.#referrers.set(referrer.subject, [referrer]);
    else others.push(referrer);
  }

  async heldReferrers(
    subject: Digest,
    referrers: readonly Digest[],
    { signal }: WaitOptions = {},
  ): Promise<ReadonlySet<Digest>> {
    signal?.throwIfAborted();
    const { path: directory } = this.#readable;
    this.#listedReferrers ??= new LayoutReferrers({ directory, images: await this.#listedImages() });
    const wanted = new Set(referrers);
    const held = new Set<Digest>();
    for (const entry of (await this.#listedReferrers.of(subject)).filter(({ digest }) => wanted.has(digest))) {
      const read = (): Promise<StoredManifest | undefined> => readLayoutManifest(directory, entry);
      if ((await imagePresence(layoutPlace(directory), read)).state === 'present') held.add(entry.digest);
    }
    return held;
  }

  async commit({ signal }: WaitOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    if (this.#listed.length === 0 && this.#referrers.size === 0) return;
    const { path: directory } = this.#written;
    const reference = this.#layoutReference;
    await whileLocked(directory, { signal }, async () => {
      const before = await readIndexFile(directory, reference);
      const images = before === undefined ? [] : parseLayoutIndex(before, reference);
      if (this.#ifDigest !== undefined) {
        this.#images = Promise.resolve(images);
        checkIfDigest(this.reference, this.#ifDigest, await this.#presence(undefined, { digestOnly: true }));
      }
      const moved = this.#movedNames(images);
      if (this.#noClobber) await this.#refuseNewNames(moved);
      await this.#listReferrers({ directory, images });
      await writeManifests(directory, this.#manifests.values());
      await replaceFile(directory, INDEX_FILE, withImages(before, this.#listed));
      await syncDirectory(directory);
      await removeStaged(directory);
      await removeFreeLocks(directory);
      for (const { name, digest } of moved) this.#onNameMoved?.(this.#movedMessage(name, digest));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leave(this.#begun?.target);
  }

  async #leave(target: TargetDirectory | undefined): Promise<void> {
    const newLayout = this.#newLayout;
    this.#newLayout = undefined;
    try {
      await newLayout?.[Symbol.asyncDispose]();
    } finally {
      await target?.[Symbol.asyncDispose]();
    }
  }

  /** Names that other images have, which the commit takes from them. */
  #movedNames(images: readonly LayoutImage[]): readonly MovedName[] {
    const taken = new Map(this.#listed.map(({ name, descriptor }) => [name, descriptor.digest]));
    return images.flatMap(({ name, descriptor: { digest } }) => {
      const isMoved = name !== undefined && taken.has(name) && taken.get(name) !== digest;
      return isMoved ? [{ name, digest }] : [];
    });
  }

  /** Of the names that were free when the copy began, another copy may have taken some. */
  async #refuseNewNames(moved: readonly MovedName[]): Promise<void> {
    const known = await this.#listedImages();
    const isNew = ({ name, digest }: MovedName): boolean =>
      !known.some((image) => image.name === name && image.descriptor.digest === digest);
    const [first] = moved.filter(isNew);
    if (first === undefined) return;
    throw new ImgcopyError(
      `${this.#layoutReference}:${first.name} was written by another program during the copy; it is left unchanged`,
      { code: 'ERR_DESTINATION_CHANGED', side: 'destination', hint: 'run the command again' },
    );
  }

  #movedMessage(name: string, digest: Digest): string {
    const layout = this.#layoutReference;
    return `${layout}:${name} was another image, which is now ${layout}@${digest}; to keep several, name them: ${layout}:NAME`;
  }

  async #listReferrers(layout: ListedLayout): Promise<void> {
    for (const [subject, referrers] of this.#referrers) {
      const index = await withReferrers(layout, subject, referrers);
      if (index === undefined) continue;
      const { digest, mediaType, bytes } = index;
      this.#manifests.set(digest, index);
      this.#listed.push({ descriptor: { mediaType, digest, size: bytes.length }, name: referrersTag(subject) });
    }
    this.#referrers.clear();
  }

  #readableAt(path: string): ReadableLayout {
    const blobs = new LocalBlobStore({
      directory: path,
      fileOf: layoutBlobPath,
      reference: this.reference,
      side: 'destination',
      lockBlob: (digest, options) => waitForLock(path, `${digestAlgorithm(digest)}-${digestHex(digest)}`, options),
    });
    const oldLayers = new OldLayers(
      () => this.#oldImages(),
      (entry) => this.#instance(entry),
      undefined,
    );
    return { path, ladder: new LocalBlobLadder({ blobs, oldLayers, force: this.#force }) };
  }

  /** Before it is begun, it can be asked what it holds. */
  get #readable(): ReadableLayout {
    return this.#begun ?? (this.#unbegun ??= this.#readableAt(resolveLocalPath(this.#name.path)));
  }

  get #written(): ReadableLayout {
    if (this.#begun === undefined) throw new Error(`${this.reference} is used before begin()`);
    return this.#begun;
  }

  /** Makes sure of `oci-layout`, so that whoever comes now finds a layout. @returns the images that are there. */
  async #beginLayout(directory: string, signal: AbortSignal | undefined): Promise<readonly LayoutImage[]> {
    const reference = this.#layoutReference;
    return await whileLocked(directory, { signal }, async () => {
      const isThere = await hasLayoutFile(directory, reference);
      const images = await this.#readImages(directory);
      if (!isThere) await replaceFile(directory, LAYOUT_FILE, LAYOUT_FILE_BYTES);
      // Without oci-layout, the file of a lock would be one that does not belong here.
      if (images.length === 0) this.#newLayout = await noteNewLayout(directory, { isMade: !isThere, signal });
      return images;
    });
  }

  async #readImages(directory: string): Promise<readonly LayoutImage[]> {
    const index = await readIndexFile(directory, this.#layoutReference);
    return index === undefined ? [] : parseLayoutIndex(index, this.#layoutReference);
  }

  async #presence(tag: string | undefined, options?: { readonly digestOnly: boolean }): Promise<ManifestPresence> {
    const name = tag ?? this.#name.name;
    const [first, ...others] = await this.#imagesOf(name);
    if (first === undefined) return { state: 'absent' };
    if (others.some(({ descriptor }) => descriptor.digest !== first.descriptor.digest)) {
      const reason = new ImgcopyError(`${this.#layoutReference} has several images named ${name}`, {
        code: 'ERR_SEVERAL_IMAGES',
        kind: 'failed',
      });
      return { state: 'unknown', reason };
    }
    const directory = this.#readable.path;
    return await imagePresence(layoutPlace(directory), () => readLayoutManifest(directory, first.descriptor), options);
  }

  #listedImages(): Promise<readonly LayoutImage[]> {
    return (this.#images ??= this.#readImages(this.#readable.path));
  }

  /** An image without a name takes no other's place: what has its digest alone is the same. */
  async #imagesOf(name: string | undefined): Promise<readonly LayoutImage[]> {
    const images = await this.#listedImages();
    if (name !== undefined) return images.filter((image) => image.name === name);
    return images.filter(({ descriptor }) => descriptor.digest === this.#name.digest);
  }

  /** All images of the layout, that of this name first, then the others from the one that was added last. */
  async #oldImages(): Promise<readonly RawManifest[]> {
    const directory = this.#readable.path;
    const own = new Set(await this.#imagesOf(this.#name.name));
    const others = (await this.#listedImages()).filter((image) => !own.has(image)).toReversed();
    const found: RawManifest[] = [];
    for (const { descriptor } of [...own, ...others].slice(0, MAX_OLD_IMAGES)) {
      const stored = await readLayoutManifest(directory, descriptor).catch(ignoreDamage);
      if (stored !== undefined) found.push(stored.raw);
    }
    return found;
  }

  async #instance(entry: Pick<BlobInfo, 'digest' | 'size'>): Promise<RawManifest> {
    const stored = await readLayoutManifest(this.#readable.path, entry);
    if (stored === undefined) throw new Error(`there is no manifest ${entry.digest} in ${this.reference}`);
    return stored.raw;
  }
}

/** Brings manifests to the disk, and the names of all blobs beside them. */
async function writeManifests(directory: string, manifests: Iterable<RawManifest>): Promise<void> {
  for (const { digest, bytes } of manifests) {
    const path = layoutBlobPath(digest);
    const folder = join(directory, dirname(path));
    await onDisk(folder, () => makeDirectory(folder));
    await replaceFile(directory, path, bytes);
  }
  const blobs = join(directory, 'blobs');
  const algorithms = await readdir(blobs, { withFileTypes: true });
  const folders = algorithms.filter((entry) => entry.isDirectory()).map(({ name }) => join(blobs, name));
  for (const folder of [...folders, blobs]) await syncDirectory(folder);
}

/** What runs that were killed left of small files. They are written under the lock alone, so nobody needs them now. */
async function removeStaged(directory: string): Promise<void> {
  const names = await readdir(directory);
  for (const name of names.filter(isStagedName)) {
    const path = join(directory, name);
    await onDisk(path, () => rm(path, { force: true }));
  }
}

/** Pieces are a help, not a need: an image that cannot be read has none. */
function ignoreDamage(error: unknown): undefined {
  if (!(error instanceof ImgcopyError)) throw error;
}
