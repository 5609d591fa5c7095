import { pipeline } from 'node:stream';
import type { Readable } from 'node:stream';
import { digestAlgorithm, type Digest } from '../../digest/digest.ts';
import type { UploadState } from '../../cache/upload-state.ts';
import { OldLayers } from '../../partial/old-layers.ts';
import type { Candidate } from '../../partial/plan-blob.ts';
import type { RequestObserver, RetryPolicy } from '../../http/index.ts';
import { verifiedStream } from '../../digest/verified-stream.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { manifestDigest, parseManifest } from '../../manifest/parse-manifest.ts';
import { formatReference, type RegistryReference } from '../../reference/reference.ts';
import type { BlobInfoCache } from '../../types/blob-info-cache.ts';
import type { BlobInfo, RawManifest, WaitOptions } from '../../types/blob-info.ts';
import type { BlobChunkAccessor } from '../../types/blob-chunk-accessor.ts';
import type {
  CurrentManifest,
  ImageDestination,
  PartialBlob,
  PutBlobInfo,
  PutBlobOptions,
  PutBlobPartialOptions,
  PutManifestOptions,
  ReusedBlob,
  TryReusingBlobOptions,
  UploadedBlob,
} from '../../types/image-destination.ts';
import type { RepositoryName } from '../../types/image-source.ts';
import { MissingBlobsError } from '../../types/errors.ts';
import { BlobReuse } from './blob-reuse.ts';
import { registryBlobRanges } from './blob-ranges.ts';
import { RegistryClient } from './client.ts';
import { NotedUploads } from './noted-uploads.ts';
import { uploadAssembled } from './partial-upload.ts';
import type { EndpointOptions, RegistryAccess } from './registry-access.ts';
import { RegistryError } from './registry-error.ts';
import { collectVerified, uploadBytes, uploadStream } from './upload.ts';
import type { UploadLimits } from './upload-limits.ts';
import { Uploads } from './uploads.ts';

export interface RegistryDestinationOptions extends EndpointOptions, WaitOptions {
  /** Where the image comes from: blobs are mounted from there, where that is the same registry. */
  readonly source?: RepositoryName | undefined;
  readonly additionalTags?: readonly string[] | undefined;
  readonly cache?: (() => BlobInfoCache | undefined) | undefined;
}

/** Blobs up to here are held in memory and sent in one request, so that they can be sent again, in bytes. */
export const SMALL_BLOB: number = 4 * 1024 * 1024;

/** Opens an image of a registry for writing. Nothing is asked of the registry yet, but how to reach a loopback host. */
export async function openRegistryDestination(
  access: RegistryAccess,
  reference: RegistryReference,
  options: RegistryDestinationOptions = {},
): Promise<RegistryDestination> {
  const { source } = options;
  const scopes = [`repository:${reference.repository}:pull,push`];
  const mountable = source?.registry === reference.registry && source.repository !== reference.repository;
  if (mountable) scopes.push(`repository:${source.repository}:pull`);
  const { origin, send } = await access.endpoint(reference.registry, { ...options, side: 'destination', scopes });
  const client = new RegistryClient({ origin, repository: reference.repository, side: 'destination', send });
  return new RegistryDestination(client, reference, {
    additionalTags: options.additionalTags ?? [],
    policy: access.policy,
    observer: options.observer,
    cache: options.cache,
    limits: access.uploadLimits(origin),
    uploadState: access.uploadState,
  });
}

interface DestinationParts {
  readonly additionalTags: readonly string[];
  readonly policy: RetryPolicy;
  readonly observer?: RequestObserver | undefined;
  readonly cache?: (() => BlobInfoCache | undefined) | undefined;
  readonly limits: UploadLimits;
  /** Opens the file that notes interrupted uploads. */
  readonly uploadState: () => Promise<UploadState>;
}

/** docker:// as a destination. */
export class RegistryDestination implements ImageDestination {
  readonly reference: string;
  readonly repository: RepositoryName;
  readonly concurrency = 'parallel';
  readonly acceptsForeignLayerUrls = true;
  readonly #client: RegistryClient;
  readonly #name: string;
  readonly #parts: DestinationParts;
  readonly #reuse: BlobReuse;
  /** Reads what this repository has. */
  readonly #own: BlobChunkAccessor;
  readonly #uploads: Uploads;
  readonly #oldLayers: OldLayers;
  #current: Promise<CurrentManifest | undefined> | undefined;

  constructor(client: RegistryClient, reference: RegistryReference, options: DestinationParts) {
    this.#client = client;
    this.reference = formatReference(reference);
    this.repository = { registry: reference.registry, repository: reference.repository };
    this.#name = reference.tag ?? reference.digest ?? 'latest';
    this.#parts = options;
    const noted = new NotedUploads(options.uploadState, client.origin, this.repository);
    this.#uploads = new Uploads(client, { ...options, noted });
    this.#reuse = new BlobReuse(client, this.repository, this.#uploads);
    this.#own = registryBlobRanges(client, { ...options, registry: reference.registry });
    this.#oldLayers = new OldLayers(
      () => this.currentManifest(),
      ({ digest, size }) => client.getManifest(digest, { maxBytes: size }),
      this.repository,
    );
  }

  get roundTripMs(): number | undefined {
    return this.#client.roundTripMs;
  }

  async currentManifest(options: WaitOptions = {}): Promise<CurrentManifest | undefined> {
    this.#current ??= this.#fetchCurrent(options);
    return this.#current;
  }

  expectsMissing(info: BlobInfo, { srcRef }: { srcRef?: RepositoryName | undefined } = {}): boolean {
    return this.#reuse.expectsMissing(info.digest, srcRef);
  }

  async tryReusingBlobWithOptions(info: BlobInfo, options: TryReusingBlobOptions): Promise<ReusedBlob> {
    return this.#reuse.tryReusing(info, options);
  }

  supportsPutBlobPartial(): boolean {
    return true;
  }

  async putBlobPartial(
    accessor: BlobChunkAccessor,
    info: BlobInfo,
    options: PutBlobPartialOptions,
  ): Promise<PartialBlob> {
    const { cache, memory, signal, layerIndex, platform, reusePieces = true } = options;
    const candidates = (): Promise<readonly Candidate[]> =>
      reusePieces ? this.#oldLayers.find(info, { layerIndex, platform, cache }) : Promise.resolve([]);
    const input = { accessor, info, own: this.#own, candidates, memory, signal };
    const { bytesReused, bytesResumed, tail } = await uploadAssembled(this.#uploads, input);
    cache?.recordKnownLocation(info.digest, this.repository);
    if (tail !== undefined) cache?.recordChunkedBlob({ digest: info.digest, size: info.size, format: tail.format });
    return { digest: info.digest, size: info.size, bytesReused, bytesResumed };
  }

  async putBlobWithOptions(
    stream: Readable,
    info: PutBlobInfo,
    { cache, signal }: PutBlobOptions,
  ): Promise<UploadedBlob> {
    const { digest, size } = info;
    if (digest === undefined) throw new Error('a registry stores blobs by a digest that is known before');
    const opening = this.#uploads.open(digest, { signal });
    if (size !== undefined && size <= SMALL_BLOB) {
      const collecting = collectVerified(stream, digest, size, signal);
      const [first, bytes] = await Promise.all([opening, collecting]).catch(async (error: unknown) => {
        stream.destroy();
        await opening.then(async (opened) => opened.cancel()).catch(() => undefined);
        throw error;
      });
      await uploadBytes(this.#uploads, { first, digest, bytes, signal });
    } else {
      // Before the wait for the session, for the stream may fail in the meantime.
      const verified = pipeline(stream, verifiedStream({ digest, size }), () => undefined);
      const session = await opening.catch((error: unknown) => {
        verified.destroy();
        throw error;
      });
      const attempts = this.#uploads.attempts(digest, signal);
      await uploadStream(session, verified, { size, attempts, signal });
    }
    cache?.recordKnownLocation(digest, this.repository);
    return { digest, size: size ?? 0 };
  }

  async putManifest(manifest: RawManifest, { instanceDigest, signal }: PutManifestOptions = {}): Promise<void> {
    const names = instanceDigest === undefined ? [this.#name, ...this.#parts.additionalTags] : [instanceDigest];
    const [first = this.#name, ...others] = names;
    try {
      await this.#client.putManifest(first, manifest, { signal });
    } catch (error) {
      const lacksBlobs =
        error instanceof RegistryError && error.codes.some((code) => /^(MANIFEST_)?BLOB_UNKNOWN$/.test(code));
      throw lacksBlobs ? new MissingBlobsError(error) : error;
    }
    await Promise.all(others.map((tag) => this.#client.putManifest(tag, manifest, { signal })));
  }

  supportsSignatures(): boolean {
    return false;
  }

  async putSignaturesWithFormat(signatures: readonly Buffer[]): Promise<void> {
    if (signatures.length > 0) throw new Error('a registry has no place for signatures beside an image');
  }

  async commit(): Promise<void> {
    // The manifest's PUT has made the image visible.
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#uploads[Symbol.asyncDispose]();
  }

  /** A registry that does not let one look (401, 403) is asked again by the push, whose answer says more. */
  async #fetchCurrent({ signal }: WaitOptions): Promise<CurrentManifest | undefined> {
    try {
      const { bytes, mediaType: declared } = await this.#client.getManifest(this.#name, { signal });
      const { mediaType } = parseManifest(bytes, declared);
      const algorithm = this.#name.startsWith('sha512:') ? digestAlgorithm(this.#name as Digest) : 'sha256';
      const current = { digest: manifestDigest(bytes, mediaType, algorithm), mediaType, bytes };
      this.#reuse.learnCurrent(parseManifest(bytes, declared));
      return current;
    } catch (error) {
      const isUnknown = error instanceof RegistryError && [400, 401, 403, 404].includes(error.status);
      const isOdd = error instanceof ImgcopyError && error.code === 'ERR_INVALID_MANIFEST';
      if (!isUnknown && !isOdd) throw error;
      this.#reuse.learnCurrent(undefined);
      return undefined;
    }
  }
}
