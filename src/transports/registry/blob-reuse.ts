import type { Digest } from '../../digest/digest.ts';
import { isAbort } from '../../errors/imgcopy-error.ts';
import { isPassing } from '../../http/index.ts';
import type { Manifest } from '../../manifest/parse-manifest.ts';
import { substitutedMediaType } from '../../manifest/layer-compression.ts';
import type { BlobInfoCache } from '../../contract/blob-info-cache.ts';
import { COMPRESSION_ALGORITHMS, type CompressionAlgorithm } from '../../manifest/layer-compression.ts';
import type { BlobInfo, WaitOptions } from '../../contract/blob-info.ts';
import type { CompressionOperation, ReusedBlob, TryReusingBlobOptions } from '../../contract/image-destination.ts';
import type { RepositoryName } from '../../contract/image-source.ts';
import type { BlobPresence, RegistryClient } from './client.ts';
import { ExpectedBlobs } from './expected-blobs.ts';
import { RegistryError } from './registry-error.ts';
import type { Uploads } from './upload/uploads.ts';
import type { SelfMount } from './self-mount.ts';

/** So many blobs are asked for by HEAD in any case. */
const ENOUGH_HEADS = 6;
/** Larger ones are as well, in bytes. */
const SPARED_BLOB = 1024 * 1024;
/** Of those that are not, no more than this is sent, in bytes: not every host grants a mount of what it has. */
const MOST_UNASKED = 32 * 1024 * 1024;

/**
 * Finds blobs that a registry has already, in as few round trips as it lets.
 *
 * A POST that asks to mount a blob from the destination repository itself is a HEAD and a POST in one: 201 where the blob is there, 202 with an
 * upload where it is not. Until that is proven for the host, a HEAD goes out beside it.
 */
export class BlobReuse {
  readonly #client: RegistryClient;
  readonly #own: RepositoryName;
  readonly #uploads: Uploads;
  readonly #selfMount: SelfMount;
  readonly #expected = new ExpectedBlobs();
  /** The first, for blobs that are most likely missing. */
  readonly #heads: Promise<Presence>[] = [];
  /** Of blobs that were not asked for by HEAD, in bytes. */
  #unaskedBytes = 0;

  /** @param uploads  keeps those that are opened while asking, for the blobs that turn out to be missing. */
  constructor(
    client: RegistryClient,
    own: RepositoryName,
    { uploads, selfMount }: { readonly uploads: Uploads; readonly selfMount: SelfMount },
  ) {
    this.#client = client;
    this.#own = own;
    this.#uploads = uploads;
    this.#selfMount = selfMount;
  }

  /** Takes note of the image now under the destination's name, or that there is none. */
  learnCurrent(manifest: Manifest | undefined): void {
    this.#expected.learnCurrent(manifest);
  }

  expectsMissing(digest: Digest, srcRef: RepositoryName | undefined): boolean {
    // What comes from this registry is here already, or can be mounted.
    return srcRef?.registry !== this.#own.registry && this.#expected.isLikelyMissing(digest);
  }

  async tryReusing(info: BlobInfo, options: TryReusingBlobOptions): Promise<ReusedBlob> {
    const { cache } = options;
    const host = this.#own.registry;
    if (options.lookOnly === true) return this.#look(info, options);
    this.#selfMount.recall(cache, host);
    if (options.probe === true) return this.#probe(info, options);
    const same = await this.#findSame(info, options);
    const reused = same.kind === 'missing' ? await this.#findSubstitute(info, options) : reusedAs(info, same);
    this.#selfMount.record(cache, host);
    this.#expected.note(info.digest, reused !== undefined);
    if (reused === undefined) return { reused: false };
    cache?.recordKnownLocation(reused.digest, this.#own);
    return reused;
  }

  /** What the same questions would come to, by HEADs alone: a POST opens uploads. Mounts from where the blob is are taken to be granted. */
  async #probe(info: BlobInfo, options: TryReusingBlobOptions): Promise<ReusedBlob> {
    const { srcRef, signal } = options;
    const isHere = (await this.#presence(info, signal)) === 'present';
    const mountFrom = this.#mountSource(srcRef) ?? (await this.#probeSeen(info, options, isHere));
    const same = isHere ? reusedAs(info, { kind: 'here' }) : undefined;
    const reused = same ?? (mountFrom === undefined ? await this.#findSubstitute(info, options) : undefined);
    this.#expected.note(info.digest, reused !== undefined || mountFrom !== undefined);
    return { ...(reused ?? { reused: false }), ...(mountFrom !== undefined && { mountFrom }) };
  }

  /** Another repository that the cache has seen the blob in, unless it is gone from there. */
  async #probeSeen(
    { digest }: BlobInfo,
    { cache, signal }: TryReusingBlobOptions,
    isHere: boolean,
  ): Promise<string | undefined> {
    const seen = this.#expected.isListed(digest) ? undefined : this.#lastSeen(digest, cache);
    if (seen === undefined || seen.repository === this.#own.repository) return undefined;
    const found = isHere || (await this.#headAt(digest, seen.repository, signal));
    return typeof found === 'object' && !found.present ? undefined : seen.repository;
  }

  #headAt(digest: Digest, repository: string, signal: AbortSignal | undefined): Promise<BlobPresence> {
    return this.#client.headBlob(digest, { repository, scopes: [`repository:${repository}:pull`], signal });
  }

  /** The blob itself, by HEAD alone: what else had been relied on was wrong. */
  async #look(info: BlobInfo, { cache, signal }: TryReusingBlobOptions): Promise<ReusedBlob> {
    const presence = await this.#presence(info, signal);
    if (presence === 'present') return { reused: true, digest: info.digest, size: info.size };
    cache?.forgetKnownLocation(info.digest, this.#own);
    if (presence === 'absent' && this.#selfMount.verdict === 'proven') {
      this.#selfMount.disprove();
      this.#selfMount.record(cache, this.#own.registry);
    }
    return { reused: false };
  }

  #mountSource(srcRef: RepositoryName | undefined): string | undefined {
    return srcRef?.registry === this.#own.registry && srcRef.repository !== this.#own.repository
      ? srcRef.repository
      : undefined;
  }

  /** The blob itself: mounted from the source, or from where the cache has seen it; or in this repository. */
  async #findSame(info: BlobInfo, options: TryReusingBlobOptions): Promise<Found> {
    const { cache, srcRef, signal } = options;
    const source = this.#mountSource(srcRef);
    if (source !== undefined) return this.#mountFrom(info, source, signal);
    const seen = this.#expected.isListed(info.digest) ? undefined : this.#lastSeen(info.digest, cache);
    const isElsewhere = seen !== undefined && seen.repository !== this.#own.repository;
    const found = isElsewhere
      ? await this.#mountFrom(info, seen.repository, signal)
      : await this.#findHere(info, options);
    const isWrong = isElsewhere ? found.kind !== 'mounted' : found.kind === 'missing';
    if (seen !== undefined && isWrong) cache?.forgetKnownLocation(info.digest, seen);
    return found;
  }

  /** In this repository, if it was ever seen there. */
  #lastSeen(digest: Digest, cache: BlobInfoCache | undefined): RepositoryName | undefined {
    const candidates = cache?.candidateLocations2(this.#own.registry, digest, { canSubstitute: false }) ?? [];
    const here = candidates.find(({ location }) => location?.repository === this.#own.repository);
    return (here ?? candidates[0])?.location;
  }

  /** The same content in another compression, where the user allows it and the manifest can name it. */
  async #findSubstitute(info: BlobInfo, options: TryReusingBlobOptions): Promise<Reused | undefined> {
    const { cache, canSubstitute, probe = false, signal } = options;
    if (!canSubstitute || cache === undefined || info.mediaType === undefined) return undefined;
    const { mediaType } = info;
    const acceptable = COMPRESSION_ALGORITHMS.filter(
      (compression) => substitutedMediaType(mediaType, compression) !== undefined,
    );
    const candidates = cache.candidateLocations2(this.#own.registry, info.digest, { canSubstitute, acceptable });
    for (const { digest, location, compression } of candidates) {
      if (digest === info.digest || compression === undefined) continue;
      const from = location?.repository === this.#own.repository ? undefined : location?.repository;
      if (from !== undefined && !probe && (await this.#postMount(digest, from, signal)) !== 'mounted') {
        cache.forgetKnownLocation(digest, { registry: this.#own.registry, repository: from });
        await this.#uploads.drop(digest);
        continue;
      }
      const presence = await (probe && from !== undefined
        ? this.#headAt(digest, from, signal)
        : this.#client.headBlob(digest, { signal }));
      if (presence === 'unknown') continue;
      if (!presence.present && location !== undefined) cache.forgetKnownLocation(digest, location);
      if (!presence.present || presence.size === undefined) continue;
      await this.#uploads.drop(info.digest);
      const compressionOperation = operation(cache.compressor(info.digest), compression);
      return {
        reused: true,
        ...(probe ? { mountFrom: from } : { mountedFrom: from }),
        digest,
        size: presence.size,
        compressionOperation,
        compressionAlgorithm: compression,
      };
    }
    return undefined;
  }

  /** In this repository, by the way of asking that takes the fewest round trips for what is known of the host and the blob. */
  #findHere(info: BlobInfo, { srcRef, signal }: TryReusingBlobOptions): Promise<Found> {
    if (this.#selfMount.verdict === 'proven') return this.#mountSelf(info, signal);
    if (this.expectsMissing(info.digest, srcRef)) return this.#headAndMount(info, signal);
    return this.#headThenMount(info, signal);
  }

  /** One POST, which tells where the host is known to answer it truly. */
  async #mountSelf({ digest }: BlobInfo, signal: AbortSignal | undefined): Promise<Found> {
    return (await this.#postMount(digest, this.#own.repository, signal)) === 'mounted' ? HERE : MISSING;
  }

  /**
   * Both at once, for the blob will most likely have to be sent; so it shows whether the POST tells the truth. Of small blobs, once some HEADs are under
   * way, all others are asked for by the POST alone, and by HEAD only where that, or what became of the first ones, leaves a doubt.
   */
  async #headAndMount(info: BlobInfo, signal: AbortSignal | undefined): Promise<Found> {
    const isSpared = this.#heads.length >= ENOUGH_HEADS && info.size <= SPARED_BLOB;
    const head = isSpared ? undefined : this.#presence(info, signal);
    if (head !== undefined && this.#heads.length < ENOUGH_HEADS) this.#heads.push(head);
    const [early, answer] = await Promise.all([head, this.#postSelfMount(info.digest, signal)]);
    if (isSpared && answer !== 'mounted' && (await this.#mayGoUnasked(info))) return MISSING;
    const presence = early ?? (await this.#presence(info, signal));
    if (answer === 'mounted' || answer === 'declined')
      this.#selfMount.compare({ isMounted: answer === 'mounted', presence });
    // A mount of what is not there, by the same host's word, is nothing to rely on.
    if (presence === 'absent' || (presence === 'unknown' && answer !== 'mounted')) return MISSING;
    await this.#uploads.drop(info.digest);
    return HERE;
  }

  /** Whether a small blob may be sent although it could be here: none of the first ones was, and the waste would be little. */
  async #mayGoUnasked({ size }: BlobInfo): Promise<boolean> {
    const first = await Promise.allSettled(this.#heads);
    const isNoneHere = first.every((head) => head.status === 'fulfilled' && head.value === 'absent');
    if (!isNoneHere || this.#unaskedBytes + size > MOST_UNASKED) return false;
    this.#unaskedBytes += size;
    return true;
  }

  /** A HEAD, for the blob is most likely there; a POST only where that does not tell. */
  async #headThenMount(info: BlobInfo, signal: AbortSignal | undefined): Promise<Found> {
    const presence = await this.#presence(info, signal);
    if (presence === 'unknown' && this.#selfMount.verdict === 'untried') return this.#mountSelf(info, signal);
    return presence === 'present' ? HERE : MISSING;
  }

  async #mountFrom(info: BlobInfo, from: string, signal: AbortSignal | undefined): Promise<Found> {
    if ((await this.#postMount(info.digest, from, signal)) === 'mounted') return { kind: 'mounted', from };
    // Declined: the blob may still be here, and then nothing has to be sent.
    if ((await this.#presence(info, signal)) !== 'present') return MISSING;
    await this.#uploads.drop(info.digest);
    return HERE;
  }

  #postSelfMount(digest: Digest, signal: AbortSignal | undefined): Promise<MountAnswer | 'unasked'> {
    const { verdict } = this.#selfMount;
    const isUseless = verdict === 'useless' || verdict === 'failing';
    if (isUseless) return this.#uploads.prepare(digest, { signal }).then(() => 'unasked' as const);
    return this.#postMount(digest, this.#own.repository, signal);
  }

  /** Asks for a mount. Where it is declined, the upload that the answer opened is kept for the blob. */
  async #postMount(digest: Digest, from: string, signal: AbortSignal | undefined): Promise<MountAnswer> {
    try {
      return await this.#uploads.mount(digest, { from, scopes: this.#scopes(from), signal });
    } catch (error) {
      // Registries refuse mounts in many ways (400, 401, 403, 404, 405, 500); a plain POST then tells whether one may push at all.
      const isRefusal = error instanceof RegistryError && error.kind !== 'rate-limited';
      if (isAbort(error) || !(isRefusal || isPassing(error))) throw error;
      if (isRefusal && from === this.#own.repository) this.#selfMount.refuse(error.status);
      return 'refused';
    }
  }

  /** One token for both repositories. */
  #scopes(from: string): readonly string[] | undefined {
    const own = `repository:${this.#own.repository}:pull,push`;
    return from === this.#own.repository ? undefined : [own, `repository:${from}:pull`];
  }

  async #presence({ digest, size }: BlobInfo, signal: WaitOptions['signal']): Promise<Presence> {
    const found = await this.#client.headBlob(digest, { signal });
    if (found === 'unknown') return 'unknown';
    return found.present && (found.size ?? size) === size ? 'present' : 'absent';
  }
}

type Presence = 'present' | 'absent' | 'unknown';

/** `declined`: an upload was opened instead. */
type MountAnswer = 'mounted' | 'declined' | 'refused';

/** Where the very blob that was asked for was found. `here`: in this repository. */
type Found =
  { readonly kind: 'here' } | { readonly kind: 'mounted'; readonly from: string } | { readonly kind: 'missing' };

const HERE: Found = { kind: 'here' };
const MISSING: Found = { kind: 'missing' };

type Reused = Extract<ReusedBlob, { reused: true }>;

function reusedAs({ digest, size }: BlobInfo, found: Exclude<Found, { kind: 'missing' }>): Reused {
  return { reused: true, digest, size, ...(found.kind === 'mounted' && { mountedFrom: found.from }) };
}

function operation(from: CompressionAlgorithm | undefined, to: CompressionAlgorithm): CompressionOperation {
  if (to === 'uncompressed') return 'decompress';
  return from === 'uncompressed' ? 'compress' : 'recompress';
}
