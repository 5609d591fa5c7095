import { ContentMismatchError, type Digest } from '../digest/digest.ts';
import { OneAtATime } from '../io/one-at-a-time.ts';
import type { BlobInfo } from '../contract/blob-info.ts';
import type { BlobToCopy, CopiedBlob, CopyBlobOptions } from './blob-to-copy.ts';
import { copyBlob } from './copy-blob.ts';
import type { CopyRun } from './copy-run.ts';

/**
 * The blobs of one copy: each digest is moved once, whatever number of manifests name it. Where some of these could take a substitute and
 * others could not, the digest is asked for again, but never written by two at a time.
 */
export class BlobSet {
  readonly #run: CopyRun;
  readonly #bring: (blob: BlobToCopy, options: CopyBlobOptions) => Promise<CopiedBlob>;
  readonly #writers = new OneAtATime<Digest>();
  readonly #sizes = new Map<Digest, number>();
  /** What each blob is to the manifests that are known by now: they share the list with its copy. */
  readonly #uses = new Map<Digest, BlobToCopy[]>();
  readonly #copies = new Map<string, Promise<CopiedBlob>>();
  /** Of blobs that were taken to be at the destination when it refused a manifest. */
  readonly #secondCopies = new Map<string, Promise<CopiedBlob>>();
  #bytes = 0;

  constructor(run: CopyRun) {
    const { bringBlob = copyBlob } = run;
    this.#run = run;
    this.#bring = (blob, options) => bringBlob(run, blob, options);
  }

  /** @throws ContentMismatchError where the digest came with another size before. */
  copy(blob: BlobToCopy): Promise<CopiedBlob> {
    this.#checkSize(blob.info);
    const uses = this.#usesOf(blob);
    uses.push(blob);
    const key = keyOf(blob);
    let copy = this.#copies.get(key);
    if (copy === undefined) {
      copy = this.#writers.run(blob.info.digest, () => this.#bring(blob, { uses }));
      this.#copies.set(key, copy);
      this.#bytes += blob.info.size;
      this.#run.emit({ type: 'planned', blobs: this.#copies.size, bytes: this.#bytes });
    }
    return copy;
  }

  /**
   * Looks for those blobs that were taken to be at the destination, and sends what is not.
   * @returns whether there was any, sent now or for another manifest.
   */
  async sendMissing(blobs: readonly BlobToCopy[]): Promise<boolean> {
    const copies = await Promise.all(blobs.map(async (blob) => ({ blob, copy: await this.copy(blob) })));
    const doubtful = copies.filter(({ copy }) => copy.outcome === 'reused' || copy.outcome === 'mounted');
    const seconds = await Promise.all(doubtful.map(({ blob }) => this.#copySecond(blob)));
    return seconds.some(({ outcome }) => outcome !== 'reused');
  }

  /** Waits until no blob is under way any more, however it ended. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#copies.values(), ...this.#secondCopies.values()]);
  }

  /** How each blob came over; to be asked for when all are done. Those that did not were given up with the manifest that names them. */
  async results(): Promise<readonly CopiedBlob[]> {
    const copies = [...this.#copies].map(([key, copy]) => this.#secondCopies.get(key) ?? copy);
    const ended = await Promise.allSettled(copies);
    return ended.flatMap((copy) => (copy.status === 'fulfilled' ? [copy.value] : []));
  }

  #copySecond(blob: BlobToCopy): Promise<CopiedBlob> {
    const key = keyOf(blob);
    let copy = this.#secondCopies.get(key);
    copy ??= this.#writers.run(blob.info.digest, () =>
      this.#bring(blob, { isDoubted: true, uses: this.#usesOf(blob) }),
    );
    this.#secondCopies.set(key, copy);
    return copy;
  }

  #usesOf({ info }: BlobToCopy): BlobToCopy[] {
    const uses = this.#uses.get(info.digest) ?? [];
    this.#uses.set(info.digest, uses);
    return uses;
  }

  #checkSize({ digest, size }: BlobInfo): void {
    const known = this.#sizes.get(digest) ?? size;
    this.#sizes.set(digest, known);
    if (known === size) return;
    throw new ContentMismatchError(`blob ${digest} is named with two sizes`, `${known} bytes`, `${size} bytes`);
  }
}

/** A substitute that one manifest can name is none for another format, nor for what has to stay as it is. */
function keyOf({ info, substitutable }: BlobToCopy): string {
  return substitutable === undefined ? info.digest : `${info.digest} ${info.mediaType}`;
}
