import type { Digest } from '../../digest/digest.ts';
import type { Manifest } from '../../manifest/parse-manifest.ts';

/** Which blobs a destination will most likely have: by the image that is there now, and by what became of the blobs that were asked for. */
export class ExpectedBlobs {
  /** Blobs of the image that is there; undefined as long as that is not known. */
  #current: ReadonlySet<Digest> | undefined;
  /** Blobs that were found, whatever image they belong to. */
  readonly #seen = new Set<Digest>();
  /** Of the blobs that are not among those. */
  #found = 0;
  #missing = 0;

  /** Takes note of the image that is there now, or that there is none. */
  learnCurrent(manifest: Manifest | undefined): void {
    if (manifest?.kind === 'index') return;
    const blobs = manifest?.kind === 'image' ? [manifest.config, ...manifest.layers] : (manifest?.layers ?? []);
    this.#current = new Set(blobs.flatMap((blob) => (blob === undefined ? [] : [blob.digest])));
  }

  /** Takes note of what became of a blob. */
  note(digest: Digest, isFound: boolean): void {
    if (isFound) this.#seen.add(digest);
    else this.#seen.delete(digest);
    if (this.isListed(digest)) return;
    if (isFound) this.#found += 1;
    else this.#missing += 1;
  }

  /** Whether the image that is there has the blob. */
  isListed(digest: Digest): boolean {
    return this.#current?.has(digest) ?? false;
  }

  isLikelyMissing(digest: Digest): boolean {
    if (this.isListed(digest) || this.#seen.has(digest) || this.#found > this.#missing) return false;
    return this.#current !== undefined || this.#missing > 0;
  }
}
