import type { ImageSourceChunk } from '../types/blob-chunk-accessor.ts';
import type { ByteRange } from './segments.ts';

/** How large a request for ranges may be. */
export interface BatchLimits {
  /** Bytes that are wanted of it. */
  readonly bytes: number;
  readonly ranges: number;
  /** Ranges so close together are asked for as one, and what lies between is thrown away, in bytes. */
  readonly gap: number;
}

/** A request for ranges: what to ask for, and what is wanted of it. */
export interface Batch {
  /** Sorted, not overlapping. */
  readonly chunks: readonly (ImageSourceChunk & ByteRange)[];
  /** Sorted; each lies in one of the chunks. */
  readonly wanted: readonly ByteRange[];
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
  #ranges: ByteRange[];

  constructor(ranges: readonly ByteRange[]) {
    this.#ranges = ranges.filter(({ length }) => length > 0);
  }

  get isEmpty(): boolean {
    return this.#ranges.length === 0;
  }

  /** The bytes that are left. */
  get bytes(): number {
    return this.#ranges.reduce((sum, { length }) => sum + length, 0);
  }

  /** The next batch; undefined when nothing is left. */
  take(limits: BatchLimits): Batch | undefined {
    const chunks: ByteRange[] = [];
    const wanted: ByteRange[] = [];
    let bytes = 0;
    let chars = 0;
    for (let next = this.#ranges[0]; next !== undefined && bytes < limits.bytes; next = this.#ranges[0]) {
      const part = { offset: next.offset, length: Math.min(next.length, limits.bytes - bytes) };
      const last = chunks.at(-1);
      const isNear = last !== undefined && part.offset - (last.offset + last.length) <= limits.gap;
      const digits = `${part.offset}-${part.offset + part.length},`.length;
      if (!isNear && chunks.length > 0 && (chunks.length >= limits.ranges || chars + digits > MAX_HEADER_CHARS)) break;
      if (isNear) chunks[chunks.length - 1] = { offset: last.offset, length: part.offset + part.length - last.offset };
      else chunks.push(part);
      chars += isNear ? 0 : digits;
      wanted.push(part);
      bytes += part.length;
      if (part.length === next.length) this.#ranges.shift();
      else this.#ranges[0] = { offset: next.offset + part.length, length: next.length - part.length };
    }
    return wanted.length === 0 ? undefined : { chunks, wanted, bytes };
  }

  /** Puts batches back to the front, in the order they were taken. */
  putBack(batches: readonly Batch[]): void {
    this.#ranges = [...batches.flatMap(({ wanted }) => wanted), ...this.#ranges];
  }
}
