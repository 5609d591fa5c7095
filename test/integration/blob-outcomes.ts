import type { Digest } from '../../src/digest/digest.ts';
import type { BlobOutcome, CopyEvent, CopyOptions } from '../../src/index.ts';

export type BlobDone = Extract<CopyEvent, { type: 'blob-done' }>;

/** Watches a copy: hand `options` to it. */
export class CopyWatch {
  /** What it said of each blob. */
  readonly done: Map<Digest, BlobDone> = new Map();
  readonly #sourceUrls: string[] = [];

  get options(): Pick<CopyOptions, 'onEvent' | 'onRequest'> {
    return {
      onEvent: (event) => {
        if (event.type === 'blob-done') this.done.set(event.digest, event);
      },
      onRequest: ({ side, url }) => {
        if (side === 'source') this.#sourceUrls.push(String(url));
      },
    };
  }

  /** How many blobs came to each end. */
  get outcomes(): Partial<Record<BlobOutcome, number>> {
    const counts: Partial<Record<BlobOutcome, number>> = {};
    for (const { outcome } of this.done.values()) counts[outcome] = (counts[outcome] ?? 0) + 1;
    return counts;
  }

  /** How often the source was asked for a blob. */
  sourceRequestsFor(digest: Digest): number {
    return this.#sourceUrls.filter((url) => url.includes(digest)).length;
  }
}
