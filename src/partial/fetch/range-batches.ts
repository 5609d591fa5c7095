import type { BlobRange } from '../../contract/blob-chunk-accessor.ts';

/** How large a request for ranges may be. */
export interface BatchLimits {
  /** Bytes that are asked for. */
  readonly bytes: number;
  readonly ranges: number;
  /** Ranges so close together are asked for as one, and what lies between is thrown away, in bytes. */
  readonly gap: number;
}

/** A request for ranges: what to ask for, and what is wanted of it. */
export interface Batch {
  /** Sorted, not overlapping. */
  readonly chunks: readonly BlobRange[];
  /** Sorted; each lies in one of the chunks. */
  readonly wanted: readonly BlobRange[];
  /** Sum of the wanted bytes. */
  readonly bytes: number;
}

/** Proxies cap header lines, often at 8 KB; a third of a range's digits is spent on commas. */
const MAX_HEADER_CHARS = 3500;

/**
 * Ranges that are still to be asked for, in the order of the blob. Batches are cut off its front, as large as the limits of that moment allow;
 * what a refused request asked for is put back.
 */
export class RangeQueue {
  /** In reverse order, for the front is what changes. */
  #ranges: BlobRange[];

  constructor(ranges: readonly BlobRange[]) {
    this.#ranges = ranges.filter(({ length }) => length > 0).toReversed();
  }

  /** The next range; undefined when nothing is left. */
  get first(): BlobRange | undefined {
    return this.#ranges.at(-1);
  }

  /** The next batch; undefined when nothing is left. */
  take(limits: BatchLimits): Batch | undefined {
    const batch = new OpenBatch(limits);
    for (let next = this.first; next !== undefined; next = this.first) {
      const taken = batch.add(next);
      if (taken === 0) break;
      this.#ranges.pop();
      if (taken < next.length) this.#ranges.push({ offset: next.offset + taken, length: next.length - taken });
    }
    return batch.wanted.length === 0 ? undefined : batch;
  }

  /** Puts what batches were to give back to the front, in the order they were taken. */
  putBack(batches: readonly (readonly BlobRange[])[]): void {
    for (const range of batches.flat().toReversed()) this.#ranges.push(range);
  }
}

/** A batch that is being put together. */
class OpenBatch implements Batch {
  readonly chunks: BlobRange[] = [];
  readonly wanted: BlobRange[] = [];
  bytes = 0;
  readonly #limits: BatchLimits;
  #asked = 0;
  #chars = 0;

  constructor(limits: BatchLimits) {
    this.#limits = limits;
  }

  /** Adds as much of a range as the limits allow. @returns how many bytes these are. */
  add(range: BlobRange): number {
    const { bytes, gap, ranges } = this.#limits;
    const last = this.chunks.at(-1);
    const between = last === undefined ? Infinity : range.offset - (last.offset + last.length);
    const isNear = last !== undefined && between <= gap;
    const length = Math.min(range.length, bytes - this.#asked - (isNear ? between : 0));
    const chars = isNear ? 0 : `${range.offset}-${range.offset + length},`.length;
    if (length <= 0) return 0;
    if (!isNear && last !== undefined && (this.chunks.length >= ranges || this.#chars + chars > MAX_HEADER_CHARS))
      return 0;
    const part = { offset: range.offset, length };
    if (isNear) {
      this.chunks[this.chunks.length - 1] = { offset: last.offset, length: last.length + between + length };
      this.#asked += between;
    } else {
      this.chunks.push(part);
    }
    this.wanted.push(part);
    this.bytes += length;
    this.#asked += length;
    this.#chars += chars;
    return length;
  }
}
