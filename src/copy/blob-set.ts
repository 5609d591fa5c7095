import type { Digest } from '../digest/digest.ts';
import { copyBlob, type BlobToCopy, type CopiedBlob } from './copy-blob.ts';
import type { CopyRun } from './copy-run.ts';

/** The blobs of one copy: each digest is moved once, whatever number of manifests name it. */
export class BlobSet {
  readonly #run: CopyRun;
  readonly #copies = new Map<Digest, Promise<CopiedBlob>>();
  #bytes = 0;

  constructor(run: CopyRun) {
    this.#run = run;
  }

  copy(blob: BlobToCopy): Promise<CopiedBlob> {
    const { digest, size } = blob.info;
    let copy = this.#copies.get(digest);
    if (copy === undefined) {
      copy = copyBlob(this.#run, blob);
      this.#copies.set(digest, copy);
      this.#bytes += size;
      this.#run.emit({ type: 'planned', blobs: this.#copies.size, bytes: this.#bytes });
    }
    return copy;
  }

  /**
   * Sends those blobs that were taken to be at the destination, and turned out not to be.
   * @returns whether there were any.
   */
  async sendAgain(blobs: readonly BlobToCopy[]): Promise<boolean> {
    const copies = await Promise.all(blobs.map(async (blob) => ({ blob, copy: await this.copy(blob) })));
    const doubtful = copies.filter(({ copy }) => copy.outcome === 'reused' || copy.outcome === 'mounted');
    const sent = doubtful.map(({ blob }) => {
      const copy = copyBlob(this.#run, blob, { mayReuse: false });
      this.#copies.set(blob.info.digest, copy);
      return copy;
    });
    await Promise.all(sent);
    return sent.length > 0;
  }

  /** Waits until no blob is under way any more, however it ended. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#copies.values());
  }

  /** How each blob came over; to be asked for when all are done. */
  async results(): Promise<readonly CopiedBlob[]> {
    return Promise.all(this.#copies.values());
  }
}
