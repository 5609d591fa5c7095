import type { Digest } from '../digest/digest.ts';
import type { RawManifest } from '../contract/blob-info.ts';

/** What is remembered of digests; one that is forgotten costs a request. */
const MAX_DIGESTS = 50_000;
/** Of manifests that were read from the source, in bytes. */
const MAX_MANIFEST_BYTES = 8 * 1024 * 1024;
const MAX_REFERRERS = 1_000;

/**
 * What several copies from one repository into another have in common: what one of them has brought, or is bringing, the others do not ask for. Its size
 * has a bound, whatever the number of copies.
 */
export class SharedContent {
  readonly #present = new RecentKeys(MAX_DIGESTS);
  readonly #underWay = new Map<string, Promise<unknown>>();
  readonly #manifests = new Map<Digest, RawManifest>();
  #manifestBytes = 0;
  readonly #referrers = new Map<Digest, Promise<unknown>>();

  /**
   * Brings a blob or a manifest to the destination, unless that was done before. Where another copy is at it, that is waited for; where that fails, it is
   * done here.
   * @returns what the work came to; undefined where it was not needed.
   */
  async once<T>(digest: Digest, work: () => Promise<T>): Promise<T | undefined> {
    for (let other = this.#underWay.get(digest); other !== undefined; other = this.#underWay.get(digest)) {
      await other.catch(() => undefined);
    }
    if (this.#present.has(digest)) return undefined;
    const mine = work();
    this.#underWay.set(digest, mine);
    try {
      const result = await mine;
      this.#present.add(digest);
      return result;
    } finally {
      this.#underWay.delete(digest);
    }
  }

  /** A manifest of the source, by its digest: read once, as long as it is remembered. */
  async manifest(digest: Digest, read: () => Promise<RawManifest>): Promise<RawManifest> {
    const known = this.#manifests.get(digest);
    const raw = known ?? (await read());
    this.#keep(raw);
    return raw;
  }

  /** What refers to an image is copied once, whatever number of tags it has. */
  referrers<T>(digest: Digest, copy: () => Promise<T>): Promise<T> {
    const known = this.#referrers.get(digest) as Promise<T> | undefined;
    if (known !== undefined) return known.catch(copy);
    const copying = copy();
    this.#referrers.set(digest, copying);
    const [oldest] = this.#referrers.keys();
    if (this.#referrers.size > MAX_REFERRERS && oldest !== undefined) this.#referrers.delete(oldest);
    copying.catch(() => this.#referrers.delete(digest));
    return copying;
  }

  #keep(raw: RawManifest): void {
    const { digest, bytes } = raw;
    if (this.#manifests.delete(digest)) this.#manifestBytes -= bytes.length;
    this.#manifests.set(digest, raw);
    this.#manifestBytes += bytes.length;
    for (const [oldest, { bytes: held }] of this.#manifests) {
      if (this.#manifestBytes <= MAX_MANIFEST_BYTES) return;
      this.#manifests.delete(oldest);
      this.#manifestBytes -= held.length;
    }
  }
}

/** A set that forgets what was asked for the longest ago. */
class RecentKeys {
  readonly #keys = new Set<string>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  has(key: string): boolean {
    if (!this.#keys.delete(key)) return false;
    this.#keys.add(key);
    return true;
  }

  add(key: string): void {
    this.#keys.add(key);
    const [oldest] = this.#keys;
    if (this.#keys.size > this.#max && oldest !== undefined) this.#keys.delete(oldest);
  }
}
