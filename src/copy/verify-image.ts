import { ContentMismatchError, DigestVerifier, type Digest } from '../digest/digest.ts';
import { ImgcopyError, isAbort } from '../errors/imgcopy-error.ts';
import type { MemoryBudget } from '../io/memory.ts';
import type { Pool } from '../io/semaphore.ts';
import type { Descriptor, Platform } from '../manifest/descriptor.ts';
import { isForeignLayer, isManifestType } from '../manifest/media-types.ts';
import { parseManifest, type Manifest } from '../manifest/parse-manifest.ts';
import { fetchRanges } from '../partial/fetch/fetch-ranges.ts';
import { MIN_RANGED_BLOB } from '../partial/plan/plan-blob.ts';
import type { BlobInfo, RawManifest } from '../contract/blob-info.ts';
import { explainMismatch, PartialBlobUnavailableError } from '../contract/errors.ts';
import { LIGHT_BLOB, LIGHT_WEIGHT } from './copy-blob.ts';
import { ManifestReader, type ReadableImage } from './manifest-reader.ts';
import { partsOf } from './source-parts.ts';
import { findReferrers, refersTo, type Referrer, type ReferrerSelection } from './referrers.ts';
import { isSerialSource, SerialPool } from './serial.ts';

export interface VerifyImageOptions {
  /** Blobs are read and hashed. Default: they are asked for, and their sizes compared. What comes in one stream is always hashed. */
  readonly deep?: boolean | undefined;
  /** Which of the manifests that refer to the image, or to its instances, are looked at as well. Default: none. */
  readonly referrers?: ReferrerSelection | undefined;
}

/** A part of an image that is not as the manifests say. */
export interface ImageFault {
  /** `different`: the whole image is another one than it was compared with. */
  readonly kind: 'missing' | 'wrong' | 'different';
  readonly part: 'manifest' | 'config' | 'layer' | 'blob' | 'referrer';
  readonly digest: Digest;
  /** The manifest that names it, or that it refers to. Absent for the image itself. */
  readonly namedBy?: Digest | undefined;
  /** Of the image that it belongs to, where an index says so. */
  readonly platform?: Platform | undefined;
  /** Where it is found by a tag of its own: `sha256-….sig`. */
  readonly tag?: string | undefined;
  /** For people: what was expected and found. */
  readonly message: string;
}

/** What was looked at. */
export interface VerifiedImage {
  readonly manifests: number;
  /** Those of foreign layers that are kept elsewhere left out. */
  readonly blobs: number;
  /** Of these blobs. */
  readonly bytes: number;
  /** Layers that are kept at foreign URLs, and not here. */
  readonly foreign: number;
  /** Whether the blobs were hashed. */
  readonly isHashed: boolean;
  /** Where they were asked for. */
  readonly referrers?: readonly Referrer[] | undefined;
  readonly faults: readonly ImageFault[];
}

/** An image that is open, and what bounds the work on it. */
export interface ImageToVerify extends ReadableImage {
  readonly manifest: RawManifest;
  readonly pool: Pool;
  readonly memory: MemoryBudget;
}

/**
 * Looks whether all that an image is made of is there: every manifest by its digest, every blob by its size, or by its digest too.
 * @throws what keeps it from looking: a registry that cannot be reached, or refuses.
 */
export async function verifyImage(image: ImageToVerify, options: VerifyImageOptions = {}): Promise<VerifiedImage> {
  const isSerial = isSerialSource(image.source);
  const pool = isSerial ? new SerialPool(image.pool) : image.pool;
  const failed = new AbortController();
  const signal = AbortSignal.any([image.signal, failed.signal]);
  const verification = new Verification({ ...image, pool, signal }, isSerial || options.deep === true);
  try {
    return await verification.run(options.referrers);
  } catch (error) {
    failed.abort();
    await verification.settled();
    throw error;
  }
}

/** Where a part is named. */
interface Place {
  readonly part: ImageFault['part'];
  readonly namedBy?: Digest | undefined;
  readonly platform?: Platform | undefined;
  readonly tag?: string | undefined;
}

class Verification {
  readonly #image: ImageToVerify;
  readonly #isHashed: boolean;
  readonly #manifests = new Map<Digest, Promise<void>>();
  /** Of manifests that were read. */
  readonly #sound = new Set<Digest>();
  readonly #blobs = new Map<Digest, Promise<void>>();
  readonly #faults: ImageFault[] = [];
  #bytes = 0;
  #foreign = 0;

  constructor(image: ImageToVerify, isHashed: boolean) {
    this.#image = image;
    this.#isHashed = isHashed;
  }

  async run(selection: ReferrerSelection | undefined): Promise<VerifiedImage> {
    const { manifest } = this.#image;
    const reader = new ManifestReader(this.#image);
    await this.#once(manifest.digest, () => this.#walk(reader, manifest, { part: 'manifest' }, 0));
    const referrers = selection && (await this.#verifyReferrers(selection));
    return {
      manifests: this.#sound.size,
      blobs: this.#blobs.size - this.#foreign,
      bytes: this.#bytes,
      foreign: this.#foreign,
      isHashed: this.#isHashed,
      ...(referrers && { referrers }),
      faults: this.#faults,
    };
  }

  /** Waits until nothing is under way any more, however it ended. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#manifests.values(), ...this.#blobs.values()]);
  }

  async #verifyReferrers(selection: ReferrerSelection): Promise<readonly Referrer[]> {
    const found: Referrer[] = [];
    const checks: Promise<void>[] = [];
    for await (const { referrers } of findReferrers(this.#image, [...this.#sound], selection)) {
      for (const referrer of referrers) {
        found.push(referrer);
        const check = this.#verifyReferrer(referrer);
        check.catch(() => undefined);
        checks.push(check);
      }
    }
    await Promise.all(checks);
    return found;
  }

  async #verifyReferrer({ subject, descriptor, tag }: Referrer): Promise<void> {
    const place: Place = { part: 'referrer', namedBy: subject, tag };
    const reader = new ManifestReader(this.#image);
    await this.#once(descriptor.digest, async () => {
      await this.#readManifest(reader, descriptor, place, 0);
    });
    if (tag !== undefined || !this.#sound.has(descriptor.digest)) return;
    const raw = await reader.read(descriptor);
    if (!refersTo(raw, subject)) this.#note(descriptor.digest, 'wrong', place, `it does not refer to ${subject}`);
  }

  #once(digest: Digest, check: () => Promise<void>): Promise<void> {
    const known = this.#manifests.get(digest) ?? check();
    known.catch(() => undefined);
    this.#manifests.set(digest, known);
    return known;
  }

  async #readManifest(reader: ManifestReader, entry: Descriptor, place: Place, depth: number): Promise<void> {
    const raw = await this.#noting(entry.digest, place, () => reader.read(entry));
    if (raw !== undefined) await this.#walk(reader, raw, place, depth);
  }

  async #walk(reader: ManifestReader, raw: RawManifest, place: Place, depth: number): Promise<void> {
    const parsed = await this.#noting(raw.digest, place, async () => {
      const manifest = parseManifest(raw.bytes, raw.mediaType);
      if (manifest.kind === 'index') reader.expect(raw, manifest.manifests.filter(isManifest), depth);
      return manifest;
    });
    if (parsed === undefined) return;
    this.#sound.add(raw.digest);
    await Promise.all(this.#partsOf(reader, raw, parsed, { ...place, depth }));
  }

  #partsOf(
    reader: ManifestReader,
    { digest: namedBy }: RawManifest,
    parsed: Manifest,
    { platform, depth }: Place & { readonly depth: number },
  ): readonly Promise<void>[] {
    const inImage = { namedBy, platform };
    if (parsed.kind === 'schema1') {
      const digests = [...new Set(parsed.layers.map(({ digest }) => digest))];
      return digests.map((digest) => this.#verifyBlob({ digest, size: undefined }, { ...inImage, part: 'layer' }));
    }
    if (parsed.kind === 'image') {
      const { config, layers } = parsed;
      const layersDone = layers.map((layer) => this.#verifyBlob(layer, { ...inImage, part: 'layer' }));
      return config === undefined
        ? layersDone
        : [...layersDone, this.#verifyBlob(config, { ...inImage, part: 'config' })];
    }
    return parsed.manifests.map((entry) => {
      if (!isManifest(entry)) return this.#verifyBlob(entry, { namedBy, part: 'blob' });
      const place: Place = { part: 'manifest', namedBy, platform: entry.platform };
      return this.#once(entry.digest, () => this.#readManifest(reader, entry, place, depth + 1));
    });
  }

  #verifyBlob(blob: BlobToVerify, place: Place): Promise<void> {
    const known = this.#blobs.get(blob.digest) ?? this.#checkInTurn(blob, place);
    known.catch(() => undefined);
    this.#blobs.set(blob.digest, known);
    return known;
  }

  async #checkInTurn(blob: BlobToVerify, place: Place): Promise<void> {
    const { pool, signal } = this.#image;
    const { size = 0 } = blob;
    // Asking for a blob's size is a round trip; hashing a large one takes a whole place of the pool.
    const weight = this.#isHashed && size >= LIGHT_BLOB ? 1 : LIGHT_WEIGHT;
    const release = await pool.acquire({ weight, priority: size, signal });
    try {
      await this.#noting(blob.digest, place, () => this.#check(blob));
    } finally {
      release();
    }
  }

  async #check(blob: BlobToVerify): Promise<void> {
    const { digest } = blob;
    if (isForeignLayer(blob) && (await this.#isElsewhere(digest))) {
      this.#foreign += 1;
      return;
    }
    const isSizeEnough = !this.#isHashed || blob.size === undefined;
    const found = isSizeEnough ? await this.#sizeOf(digest) : undefined;
    const { size = found } = blob;
    if (size === undefined) {
      throw new ImgcopyError(`cannot find out the size of blob ${digest}`, { code: 'ERR_BLOB_SIZE', side: 'source' });
    }
    if (found !== undefined && found !== size) {
      throw new ContentMismatchError('it has the wrong size', `${size} bytes`, `${found} bytes`);
    }
    // A place that tells no sizes tells them by the bytes.
    if (this.#isHashed || found === undefined) await this.#hash({ digest, size });
    this.#bytes += size;
  }

  async #isElsewhere(digest: Digest): Promise<boolean> {
    try {
      await this.#sizeOf(digest);
      return false;
    } catch (error) {
      if (isNotFound(error)) return true;
      throw error;
    }
  }

  async #sizeOf(digest: Digest): Promise<number | undefined> {
    const { source, signal } = this.#image;
    try {
      return await source.getBlobSize?.(digest, { signal });
    } catch (error) {
      if (error instanceof ImgcopyError && error.code === 'ERR_BLOB_SIZE') return undefined;
      throw error;
    }
  }

  async #hash(info: BlobInfo): Promise<void> {
    try {
      await this.#readOnce(info, { isFresh: false });
    } catch (error) {
      // A cache on the way may hold other bytes than the registry.
      if (!(error instanceof ContentMismatchError) || isSerialSource(this.#image.source)) throw error;
      await this.#readOnce(info, { isFresh: true });
    }
  }

  async #readOnce(info: BlobInfo, { isFresh }: { readonly isFresh: boolean }): Promise<void> {
    const { source, signal } = this.#image;
    if (!isFresh && info.size >= MIN_RANGED_BLOB && (await this.#readRanges(info))) return;
    const { stream, contentEncoding } = await source.getBlob(info, { signal, isFresh });
    try {
      await hashAll(stream, info);
    } catch (error) {
      throw explainMismatch(error, contentEncoding);
    } finally {
      stream.on('error', () => undefined).destroy();
    }
  }

  /** @returns false where ranges gain nothing, or are not to be had. */
  async #readRanges(info: BlobInfo): Promise<boolean> {
    const { source, memory, signal } = this.#image;
    const parts = partsOf(source);
    if (parts === undefined || parts.rangeSupport.isLocal) return false;
    try {
      const account = memory.openAccount();
      await hashAll(fetchRanges(parts, info, [{ offset: 0, length: info.size }], { memory: account, signal }), info);
      return true;
    } catch (error) {
      if (error instanceof PartialBlobUnavailableError) return false;
      throw error;
    }
  }

  /** Does something that shows whether a part is as it should be; where it is not, notes that. */
  async #noting<T>(digest: Digest, place: Place, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (isAbort(error) || !(error instanceof ImgcopyError)) throw error;
      const kind = isNotFound(error) ? 'missing' : isDamage(error) ? 'wrong' : undefined;
      if (kind === undefined) throw error;
      this.#note(digest, kind, place, error.message);
      return undefined;
    }
  }

  #note(digest: Digest, kind: ImageFault['kind'], { part, namedBy, platform, tag }: Place, message: string): void {
    this.#faults.push({
      kind,
      part,
      digest,
      ...(namedBy !== undefined && { namedBy }),
      ...(platform !== undefined && { platform }),
      ...(tag !== undefined && { tag }),
      message,
    });
  }
}

/** Schema 1 does not tell sizes. */
type BlobToVerify = Omit<BlobInfo, 'size'> & { readonly size: number | undefined };

async function hashAll(bytes: AsyncIterable<unknown>, info: BlobInfo): Promise<void> {
  const verifier = new DigestVerifier(info);
  for await (const piece of bytes as AsyncIterable<Buffer>) verifier.update(piece);
  verifier.finish();
}

function isManifest({ mediaType }: Descriptor): boolean {
  return isManifestType(mediaType);
}

function isNotFound(error: unknown): boolean {
  return error instanceof ImgcopyError && error.kind === 'not-found';
}

/** What says that something is there, and is not what it should be. */
export function isDamage(error: ImgcopyError): boolean {
  return error.kind === 'integrity' || DAMAGE.has(error.code);
}

const DAMAGE: ReadonlySet<string> = new Set(['ERR_INVALID_MANIFEST', 'ERR_INVALID_ARCHIVE', 'ERR_INVALID_LAYOUT']);
