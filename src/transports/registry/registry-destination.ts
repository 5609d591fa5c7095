import { pipeline } from 'node:stream';
import type { Readable } from 'node:stream';
import type { UploadState } from '../../cache/upload-state.ts';
import { OldLayers } from '../../partial/plan/old-layers.ts';
import { planOrNone, planPartial, withPlan, type PartialBlobPlan } from '../../partial/plan/partial-plan.ts';
import type { Candidate } from '../../partial/plan/plan-blob.ts';
import type { RequestObserver, RetryPolicy } from '../../http/index.ts';
import type { OneAtATime } from '../../io/one-at-a-time.ts';
import { DigestVerifier, type Digest } from '../../digest/digest.ts';
import { verifiedStream } from '../../digest/verified-stream.ts';
import { parseManifest } from '../../manifest/parse-manifest.ts';
import { formatRegistryReference, type RegistryReference } from '../../reference/registry-reference.ts';
import type { BlobInfoCache } from '../../contract/blob-info-cache.ts';
import type { BlobInfo, RawManifest, WaitOptions } from '../../contract/blob-info.ts';
import type { BlobChunkAccessor } from '../../contract/blob-chunk-accessor.ts';
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
import type { RepositoryName } from '../../contract/image-source.ts';
import { BlobReuse } from './blob-reuse.ts';
import { registryBlobRanges } from './read/blob-ranges.ts';
import { RegistryClient } from './client.ts';
import { NamedManifests } from './named-manifests.ts';
import { ReferrersTags } from './referrers-tags.ts';
import { NotedUploads } from './upload/noted-uploads.ts';
import { uploadAssembled } from './upload/assembled-upload.ts';
import type { RegistryAccess } from './registry-access.ts';
import type { Endpoint } from './registry-endpoint.ts';
import { collectVerified, uploadBytes, uploadStream } from './upload/upload.ts';
import type { UploadLimits } from './upload/upload-limits.ts';
import { Uploads } from './upload/uploads.ts';
import type { SelfMount } from './self-mount.ts';
import type { TagsAtOnce } from './tags-at-once.ts';

export interface RegistryDestinationOptions extends WaitOptions {
  readonly observer?: RequestObserver | undefined;
  /** Where the image comes from: blobs are mounted from there, where that is the same registry. */
  readonly source?: RepositoryName | undefined;
  readonly cache?: (() => BlobInfoCache | undefined) | undefined;
  /** Only questions will be asked. */
  readonly isDryRun?: boolean | undefined;
}

/** Blobs up to here are held in memory and sent in one request, so that they can be sent again, in bytes. */
export const SMALL_BLOB: number = 4 * 1024 * 1024;

/** Opens an image at an address for writing. Nothing is asked of the registry yet, but how to reach a loopback host. */
export async function openRegistryDestination(
  access: RegistryAccess,
  reference: RegistryReference,
  endpoint: Endpoint,
  options: RegistryDestinationOptions = {},
): Promise<RegistryDestination> {
  const { source, observer, isDryRun = false, signal } = options;
  const { registry, repository } = endpoint.address;
  const scopes = [`repository:${repository}:${isDryRun ? 'pull' : 'pull,push'}`];
  const mountable = source?.registry === registry && source.repository !== repository;
  if (mountable) scopes.push(`repository:${source.repository}:pull`);
  const { origin, send } = await access.reach(registry, { ...endpoint, observer, signal, side: 'destination', scopes });
  const client = new RegistryClient({ origin, repository, side: 'destination', send });
  return new RegistryDestination(client, reference, {
    address: endpoint.address,
    policy: access.policy,
    observer,
    cache: options.cache,
    limits: access.uploadLimits(origin),
    selfMount: access.selfMount(origin),
    tagsAtOnce: access.tagsAtOnce(origin),
    uploadState: isDryRun ? access.uploadStateToRead : access.uploadState,
    isDryRun,
    writers: access.tagWriters,
  });
}

interface DestinationParts {
  /** Where the image is written to, whatever its name is. */
  readonly address: RepositoryName;
  readonly policy: RetryPolicy;
  readonly observer?: RequestObserver | undefined;
  readonly cache?: (() => BlobInfoCache | undefined) | undefined;
  readonly limits: UploadLimits;
  readonly selfMount: SelfMount;
  readonly tagsAtOnce: TagsAtOnce;
  /** Opens the file that notes interrupted uploads. */
  readonly uploadState: () => Promise<UploadState>;
  readonly isDryRun: boolean;
  /** Who writes to referrers tags, in this process. */
  readonly writers: OneAtATime<string>;
}

/** docker:// as a destination. */
export class RegistryDestination implements ImageDestination {
  readonly reference: string;
  readonly repository: RepositoryName;
  readonly concurrency = 'parallel';
  readonly acceptsForeignLayerUrls = true;
  readonly #client: RegistryClient;
  readonly #name: string;
  readonly #reuse: BlobReuse;
  /** Reads what this repository has. */
  readonly #own: BlobChunkAccessor;
  readonly #uploads: Uploads;
  readonly #oldLayers: OldLayers;
  readonly #manifests: NamedManifests;
  readonly #referrersTags: ReferrersTags;
  #current: Promise<ManifestPresence> | undefined;

  constructor(client: RegistryClient, reference: RegistryReference, options: DestinationParts) {
    this.#client = client;
    this.reference = formatRegistryReference(reference);
    this.repository = options.address;
    this.#name = reference.tag ?? reference.digest ?? 'latest';
    const noted = new NotedUploads(options.uploadState, client.origin, this.repository);
    this.#uploads = new Uploads(client, { ...options, noted, asksStatus: options.isDryRun });
    this.#reuse = new BlobReuse(client, this.repository, { uploads: this.#uploads, selfMount: options.selfMount });
    this.#own = registryBlobRanges(client, { ...options, registry: options.address.registry });
    const { tagsAtOnce, cache, address } = options;
    this.#manifests = new NamedManifests(client, { tagsAtOnce, cache, host: address.registry });
    this.#referrersTags = new ReferrersTags(client, options);
    this.#oldLayers = new OldLayers(
      async () => {
        const presence = await this.currentManifest();
        return presence.state === 'present' ? [presence.manifest] : [];
      },
      ({ digest, size }) => client.getManifest(digest, { maxBytes: size }),
      this.repository,
    );
  }

  /** Repositories of one registry mount blobs from each other. */
  get blobPlace(): string {
    return this.repository.registry;
  }

  get roundTripMs(): number | undefined {
    return this.#client.roundTripMs;
  }

  async currentManifest(options: CurrentManifestOptions = {}): Promise<ManifestPresence> {
    const { instanceDigest, tag, digestOnly, signal } = options;
    const name = instanceDigest ?? tag;
    if (name !== undefined || digestOnly) return this.#manifests.look(name ?? this.#name, { digestOnly, signal });
    this.#current ??= this.#learnCurrent(signal);
    return this.#current;
  }

  expectsMissing(info: BlobInfo, { srcRef }: { srcRef?: RepositoryName | undefined } = {}): boolean {
    return this.#reuse.expectsMissing(info.digest, srcRef);
  }

  async tryReusingBlobWithOptions(info: BlobInfo, options: TryReusingBlobOptions): Promise<ReusedBlob> {
    return this.#reuse.tryReusing(info, options);
  }

  async planBlobPartial(
    accessor: BlobChunkAccessor,
    info: BlobInfo,
    options: PutBlobPartialOptions,
  ): Promise<PartialPlan | undefined> {
    return await planOrNone(this.#plan(accessor, info, options));
  }

  async putBlobPartial(
    accessor: BlobChunkAccessor,
    info: BlobInfo,
    options: PutBlobPartialOptions & { readonly plan?: PartialPlan | undefined },
  ): Promise<PartialBlob> {
    const { cache, memory, plan: given, signal } = options;
    const input = { accessor, info, own: this.#own, memory, signal };
    const { bytesReused, bytesResumed, tail } = await withPlan(
      given,
      () => this.#plan(accessor, info, options),
      (plan) => uploadAssembled(this.#uploads, { ...input, plan }),
    );
    cache?.recordKnownLocation(info.digest, this.repository);
    if (tail !== undefined) cache?.recordChunkedBlob({ digest: info.digest, size: info.size, format: tail.format });
    return { digest: info.digest, size: info.size, bytesReused, bytesResumed };
  }

  async putBlobWithOptions(
    stream: Readable,
    info: PutBlobInfo,
    { cache, memory, signal }: PutBlobOptions,
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
      await uploadStream(session, verified, { size, attempts, memory, signal });
    }
    cache?.recordKnownLocation(digest, this.repository);
    return { digest, size: size ?? 0 };
  }

  async putBlobBytes(bytes: Buffer, info: BlobInfo, { cache, signal }: PutBlobOptions): Promise<UploadedBlob> {
    const { digest, size } = info;
    const verifier = new DigestVerifier({ digest, size });
    verifier.update(bytes);
    verifier.finish();
    const first = await this.#uploads.open(digest, { signal });
    await uploadBytes(this.#uploads, { first, digest, bytes, signal });
    cache?.recordKnownLocation(digest, this.repository);
    return { digest, size };
  }

  async putManifest(manifest: RawManifest, options: PutManifestOptions = {}): Promise<void> {
    const { instanceDigest, tag, ...others } = options;
    const listing = await this.#manifests.put(instanceDigest ?? tag ?? this.#name, manifest, others);
    this.#referrersTags.note(manifest, listing);
  }

  heldReferrers(subject: Digest, referrers: readonly Digest[], options?: WaitOptions): Promise<ReadonlySet<Digest>> {
    return this.#referrersTags.held(subject, referrers, options);
  }

  noteReferrer(manifest: RawManifest): void {
    this.#referrersTags.note(manifest, 'unknown');
  }

  /** Manifests are visible with their PUT; what refers to others may have to be listed there. */
  async commit({ signal }: WaitOptions = {}): Promise<void> {
    await this.#referrersTags.write({ signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#uploads[Symbol.asyncDispose]();
  }

  async #plan(accessor: BlobChunkAccessor, info: BlobInfo, options: PutBlobPartialOptions): Promise<PartialBlobPlan> {
    const { memory, signal } = options;
    const candidates = (): Promise<readonly Candidate[]> => this.#oldLayers.find(info, options);
    const left = await this.#uploads.left(info, { signal });
    return await planPartial({ accessor, info, own: this.#own, candidates, memory, signal }, left);
  }

  /** The image that is there tells which blobs are. */
  async #learnCurrent(signal: AbortSignal | undefined): Promise<ManifestPresence> {
    const presence = await this.#manifests.look(this.#name, { signal });
    const current = presence.state === 'present' ? presence.manifest : undefined;
    this.#reuse.learnCurrent(current?.bytes && parseManifest(current.bytes, current.mediaType));
    return presence;
  }
}
