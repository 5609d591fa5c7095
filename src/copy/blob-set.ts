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

  /** How many different blobs there are, and their bytes, as far as manifests were read. */
  get totals(): { readonly blobs: number; readonly bytes: number } {
    return { blobs: this.#copies.size, bytes: this.#bytes };
  }

  copy(blob: BlobToCopy): Promise<CopiedBlob> {
    const { digest, size } = blob.info;
    let copy = this.#copies.get(digest);
    if (copy === undefined) {
      copy = copyBlob(this.#run, blob);
      this.#copies.set(digest, copy);
      this.#bytes += size;
    }
    return copy;
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
