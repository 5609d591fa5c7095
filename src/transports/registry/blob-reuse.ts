import type { Digest } from '../../digest/digest.ts';
import { isAbort } from '../../errors/imgcopy-error.ts';
import type { Manifest } from '../../manifest/parse-manifest.ts';
import type { BlobInfoCache } from '../../types/blob-info-cache.ts';
import type { BlobInfo, WaitOptions } from '../../types/blob-info.ts';
import type { ReusedBlob, TryReusingBlobOptions } from '../../types/image-destination.ts';
import type { RepositoryName } from '../../types/image-source.ts';
import type { RegistryClient, UploadLocation } from './client.ts';
import { RegistryError } from './registry-error.ts';

/** How long a run may take, at its end, to let go of uploads that it does not need, in ms. */
const CANCEL_TIMEOUT_MS = 2_000;

type SelfMount = 'proven' | 'untried' | 'useless';

/**
 * Finds blobs that a registry has already, in as few round trips as it lets.
 *
 * A POST that asks to mount a blob from the destination repository itself is a HEAD and a POST in one: 201 where the blob is there, 202 with an
 * upload where it is not. Some hosts answer 202 to everything, so until a host has once answered 201 a HEAD goes out beside it.
 */
export class BlobReuse {
  readonly #client: RegistryClient;
  readonly #own: RepositoryName;
  /** Uploads that were opened while asking, for the blobs that turned out to be missing. */
  readonly #sessions = new Map<Digest, UploadLocation>();
  #selfMount: SelfMount = 'untried';
  /** Blobs of the image now under this name; undefined as long as that is not known. */
  #current: ReadonlySet<Digest> | undefined;
  #hits = 0;
  #misses = 0;

  constructor(client: RegistryClient, own: RepositoryName) {
    this.#client = client;
    this.#own = own;
  }

  /** Takes note of the image now under the destination's name, or that there is none. */
  learnCurrent(manifest: Manifest | undefined): void {
    if (manifest?.kind === 'index') return;
    const blobs = manifest?.kind === 'image' ? [manifest.config, ...manifest.layers] : (manifest?.layers ?? []);
    this.#current = new Set(blobs.flatMap((blob) => (blob === undefined ? [] : [blob.digest])));
  }

  expectsMissing(digest: Digest, srcRef: RepositoryName | undefined): boolean {
    if (this.#mountSource(srcRef) !== undefined || this.#hits > this.#misses) return false;
    return this.#current === undefined ? this.#misses > 0 : !this.#current.has(digest);
  }

  async tryReusing(info: BlobInfo, { cache, srcRef, signal }: TryReusingBlobOptions): Promise<ReusedBlob> {
    this.#selfMount = remembered(this.#selfMount, cache?.hostAbility(this.#own.registry, 'self-mount'));
    const from = this.#mountSource(srcRef);
    const found = from === undefined ? await this.#find(info, signal) : await this.#mount(info, from, signal);
    if (found === undefined) {
      this.#misses += 1;
      return { reused: false };
    }
    this.#hits += 1;
    cache?.recordKnownLocation(info.digest, this.#own);
    if (this.#selfMount !== 'untried')
      cache?.recordHostAbility(this.#own.registry, 'self-mount', this.#selfMount === 'proven' ? 1 : 0);
    return { reused: true, digest: info.digest, size: info.size, mountedFrom: found.mountedFrom };
  }

  /** The upload that was opened for a missing blob, which is the caller's from now on. */
  takeSession(digest: Digest): UploadLocation | undefined {
    const session = this.#sessions.get(digest);
    this.#sessions.delete(digest);
    return session;
  }

  async cancelSessions(): Promise<void> {
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    const signal = AbortSignal.timeout(CANCEL_TIMEOUT_MS);
    await Promise.allSettled(sessions.map((session) => this.#client.cancelUpload(session, { signal })));
  }

  #mountSource(srcRef: RepositoryName | undefined): string | undefined {
    return srcRef?.registry === this.#own.registry && srcRef.repository !== this.#own.repository
      ? srcRef.repository
      : undefined;
  }

  async #find(info: BlobInfo, signal: AbortSignal | undefined): Promise<Found | undefined> {
    if (this.#selfMount === 'proven')
      return this.#postMount(info.digest, this.#own.repository, signal).then((mounted) => (mounted ? {} : undefined));
    const isListed = this.#current?.has(info.digest) ?? false;
    if (isListed || !this.expectsMissing(info.digest, undefined)) {
      if (await this.#isPresent(info, signal)) return {};
      if (this.#selfMount === 'untried' && (await this.#postMount(info.digest, this.#own.repository, signal)))
        return {};
      return undefined;
    }
    const [present, mounted] = await Promise.all([
      this.#isPresent(info, signal),
      this.#postSelfMount(info.digest, signal),
    ]);
    if (mounted) {
      this.#selfMount = 'proven';
      return {};
    }
    if (!present) return undefined;
    this.#selfMount = 'useless';
    const session = this.takeSession(info.digest);
    if (session !== undefined) await this.#client.cancelUpload(session, { signal });
    return {};
  }

  async #mount(info: BlobInfo, from: string, signal: AbortSignal | undefined): Promise<Found | undefined> {
    if (await this.#postMount(info.digest, from, signal)) return { mountedFrom: from };
    // Declined: the blob may still be here, and then nothing has to be sent.
    if (!(await this.#isPresent(info, signal))) return undefined;
    const session = this.takeSession(info.digest);
    if (session !== undefined) await this.#client.cancelUpload(session, { signal });
    return {};
  }

  #postSelfMount(digest: Digest, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.#selfMount === 'useless') return this.#open(digest, { signal }).then(() => false);
    return this.#postMount(digest, this.#own.repository, signal);
  }

  /** Whether a mount was granted. Where it was not, and the answer opened an upload, that is kept for the blob. */
  async #postMount(digest: Digest, from: string, signal: AbortSignal | undefined): Promise<boolean> {
    try {
      return (await this.#open(digest, { mount: { digest, from }, signal })) === 'mounted';
    } catch (error) {
      // Registries refuse mounts in many ways (400, 401, 403, 404, 405, 500); a plain POST then tells whether one may push at all.
      if (isAbort(error) || !(error instanceof RegistryError) || error.kind === 'rate-limited') throw error;
      if (from === this.#own.repository) this.#selfMount = 'useless';
      return false;
    }
  }

  async #open(digest: Digest, options: Parameters<RegistryClient['startUpload']>[0]): Promise<'mounted' | 'opened'> {
    const answer = await this.#client.startUpload(options);
    if (answer === 'mounted') return 'mounted';
    this.#sessions.set(digest, answer);
    return 'opened';
  }

  async #isPresent(info: BlobInfo, signal: WaitOptions['signal']): Promise<boolean> {
    const presence = await this.#client.headBlob(info.digest, { signal });
    return presence !== 'unknown' && presence.present && (presence.size ?? info.size) === info.size;
  }
}

interface Found {
  readonly mountedFrom?: string | undefined;
}

function remembered(known: SelfMount, cached: ReturnType<BlobInfoCache['hostAbility']>): SelfMount {
  if (known !== 'untried' || cached === undefined) return known;
  return cached === 1 ? 'proven' : 'useless';
}
