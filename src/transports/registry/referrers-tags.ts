import { digestAlgorithm, digestOf, type Digest } from '../../digest/digest.ts';
import { duringOperation, ImgcopyError } from '../../errors/imgcopy-error.ts';
import { nowMs } from '../../io/clock.ts';
import type { OneAtATime } from '../../io/one-at-a-time.ts';
import type { Descriptor } from '../../manifest/descriptor.ts';
import { parseManifest } from '../../manifest/parse-manifest.ts';
import {
  addReferrers,
  asReferrer,
  parseReferrersIndex,
  referrersTag,
  unlistedReferrers,
} from '../../manifest/referrers-index.ts';
import type { RetryPolicy } from '../../retry/attempts.ts';
import type { RawManifest, WaitOptions } from '../../contract/blob-info.ts';
import type { RegistryClient } from './client.ts';
import { isTagImmutable, type Listing } from './named-manifests.ts';
import { RegistryReferrers } from './read/referrers.ts';
import { RegistryError } from './registry-error.ts';

/** How often an index is written, where others write it as well. */
const MAX_WRITES = 10;
/** How often it is read for one write, where that takes long. */
const MAX_READS = 3;
/** An index whose answer took longer is read again before it is written: in ms, and in the time of a round trip. */
const FRESH_MS = 100;
const FRESH_ROUND_TRIPS = 3;
/** After this time, in ms, whoever read an index before it was written here will have written it: several times what that took here. */
const LEAST_SETTLE_MS = 400;
const MOST_SETTLE_MS = 5000;
const OTHERS_ARE_SLOWER = 4;

export interface ReferrersTagsOptions {
  readonly policy: RetryPolicy;
  /** Of all who write to this registry in this process; its keys are tags with their repository. */
  readonly writers: OneAtATime<string>;
}

/**
 * Lists manifests that have a subject in the index of the subject's referrers tag, where the registry has no referrers API.
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests-with-subject
 */
export class ReferrersTags {
  readonly #client: RegistryClient;
  readonly #options: ReferrersTagsOptions;
  readonly #listed: RegistryReferrers;
  /** What is to be listed, by subject. */
  #pending = new Map<Digest, Map<Digest, PendingReferrer>>();

  constructor(client: RegistryClient, options: ReferrersTagsOptions) {
    this.#client = client;
    this.#options = options;
    this.#listed = new RegistryReferrers(client);
  }

  /**
   * Takes note of a manifest that was written, or is there.
   * @param listing  who lists it, as the registry's answer has shown.
   */
  note(manifest: RawManifest, listing: Listing): void {
    if (listing === 'registry') return;
    const referrer = asReferrer(manifest, parseManifest(manifest.bytes, manifest.mediaType));
    if (referrer === undefined) return;
    const { subject, descriptor } = referrer;
    const pending = this.#pending.get(subject) ?? new Map<Digest, PendingReferrer>();
    const known = pending.get(descriptor.digest);
    pending.set(descriptor.digest, { descriptor, listing: known?.listing === 'client' ? 'client' : listing });
    this.#pending.set(subject, pending);
  }

  /** Those of the referrers that are there and listed. An index under a tag may list what is not there. */
  async held(
    subject: Digest,
    referrers: readonly Digest[],
    { signal }: WaitOptions = {},
  ): Promise<ReadonlySet<Digest>> {
    const listed = new Set<Digest>();
    for await (const { digest } of this.#listed.list(subject, { signal })) listed.add(digest);
    const candidates = referrers.filter((digest) => listed.has(digest));
    if (await this.#listed.isFromApi()) return new Set(candidates);
    const there = await Promise.all(candidates.map((digest) => this.#digestOf(digest, signal)));
    return new Set(candidates.filter((digest, index) => there[index] === digest));
  }

  /** Lists what was noted, each index written once. */
  async write({ signal }: WaitOptions = {}): Promise<void> {
    const pending = this.#pending;
    this.#pending = new Map();
    await Promise.all([...pending].map(([subject, referrers]) => this.#list(subject, [...referrers.values()], signal)));
  }

  async #list(subject: Digest, pending: readonly PendingReferrer[], signal: AbortSignal | undefined): Promise<void> {
    const tag = referrersTag(subject);
    const referrers = pending.map(({ descriptor }) => descriptor);
    try {
      const isUnknown = pending.every(({ listing }) => listing === 'unknown');
      if (isUnknown && (await this.#client.getReferrers(subject, { signal })) !== undefined) return;
      const key = `${this.#client.origin}/${this.#client.repository}:${tag}`;
      await this.#options.writers.run(key, () => this.#merge(subject, referrers, signal));
    } catch (error) {
      const listed = referrers.map(({ digest }) => digest).join(', ');
      throw duringOperation(`listing ${listed} in the referrers tag ${tag}`, error);
    }
  }

  /**
   * No registry lets an index be written only if nobody else wrote it since it was read. So it is read again once whoever read it before this write
   * will have written, and written again where what was added is gone.
   */
  async #merge(subject: Digest, referrers: readonly Descriptor[], signal: AbortSignal | undefined): Promise<void> {
    const { policy } = this.#options;
    const tag = referrersTag(subject);
    for (let write = 0; ; write += 1) {
      const { held, started } = await this.#readFresh(subject, signal);
      const merged = addReferrers(held, referrers);
      if (merged === held) return;
      if (write === MAX_WRITES) throw overwritten(unlistedReferrers(held, referrers));
      await this.#put(tag, merged, signal);
      const others = Math.max(LEAST_SETTLE_MS, OTHERS_ARE_SLOWER * (nowMs() - started));
      await policy.sleep(Math.min(others, MOST_SETTLE_MS) * (1 + policy.random() / 2), signal);
      if (await this.#isUnchanged(tag, merged, signal)) return;
    }
  }

  /** The index, and when it was asked for. On a busy machine, or behind other requests, it may be old when it comes. */
  async #readFresh(
    subject: Digest,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly held: Buffer | undefined; readonly started: number }> {
    for (let read = 1; ; read += 1) {
      const started = nowMs();
      const held = await this.#read(subject, signal);
      const fresh = Math.max(FRESH_MS, FRESH_ROUND_TRIPS * (this.#client.roundTripMs ?? 0));
      if (nowMs() - started <= fresh || read === MAX_READS) return { held, started };
    }
  }

  /** @returns undefined where there is no such tag, which a 404 alone says. */
  async #read(subject: Digest, signal: AbortSignal | undefined): Promise<Buffer | undefined> {
    const tag = referrersTag(subject);
    try {
      const { bytes, mediaType } = await this.#client.getManifest(tag, { signal });
      const isIndex =
        parseReferrersIndex(bytes, mediaType) !== undefined && digestOf(bytes, digestAlgorithm(subject)) !== subject;
      if (isIndex) return bytes;
    } catch (error) {
      if (error instanceof RegistryError && error.status === 404) return undefined;
      throw error;
    }
    throw new ImgcopyError('the tag is not an index of referrers, so it is not replaced', {
      code: 'ERR_REFERRERS_TAG',
      side: 'destination',
      hint: 'the image itself was copied; delete that tag, or copy to a registry with a referrers API',
    });
  }

  async #put(tag: string, bytes: Buffer, signal: AbortSignal | undefined): Promise<void> {
    const { mediaType } = parseManifest(bytes);
    try {
      await this.#client.putManifest(tag, { bytes, mediaType }, { signal });
    } catch (error) {
      if (!isTagImmutable(error)) throw error;
      // An earlier request, whose answer was lost, may have written it.
      if (await this.#isUnchanged(tag, bytes, signal)) return;
      throw new ImgcopyError('the registry does not allow the tag to be replaced', {
        code: 'ERR_TAG_IMMUTABLE',
        side: 'destination',
        hint: 'the image itself was copied; have the operator exempt tags that begin with sha256- from immutability',
        cause: error,
      });
    }
  }

  async #isUnchanged(tag: string, bytes: Buffer, signal: AbortSignal | undefined): Promise<boolean> {
    return (await this.#digestOf(tag, signal)) === digestOf(bytes);
  }

  async #digestOf(name: string, signal: AbortSignal | undefined): Promise<Digest | undefined> {
    try {
      return (await this.#client.headManifest(name, { signal }))?.digest;
    } catch (error) {
      if (error instanceof RegistryError && error.status === 404) return undefined;
      throw error;
    }
  }
}

function overwritten(missing: readonly Descriptor[]): ImgcopyError {
  const digests = missing.map(({ digest }) => digest).join(', ');
  return new ImgcopyError(`others keep overwriting the tag: after ${MAX_WRITES} writes, ${digests} is missing there`, {
    code: 'ERR_REFERRERS_TAG',
    side: 'destination',
    hint: 'run it again when nothing else writes there',
  });
}

interface PendingReferrer {
  readonly descriptor: Descriptor;
  readonly listing: Listing;
}
