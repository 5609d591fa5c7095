import { slices } from '../../http/ranges/range-order.ts';
import type { BlobRange } from '../../contract/blob-chunk-accessor.ts';

export interface SlicesOfOptions {
  /** Where the stream begins in the blob, in bytes. */
  readonly start: number;
  /** Sorted, not overlapping. */
  readonly wanted: readonly BlobRange[];
  /** Whether what comes after the last of them is read as well. Default true. */
  readonly untilEnd?: boolean | undefined;
}

/**
 * Cuts ranges of a blob out of a stream of it.
 * @throws Error when the stream ends before them.
 */
export function slicesOf(
  stream: AsyncIterable<Buffer>,
  { start, wanted, untilEnd = true }: SlicesOfOptions,
): AsyncGenerator<Buffer, void> {
  const ranges = wanted.map(({ offset, length }) => ({ start: offset, end: offset + length }));
  const end = untilEnd ? (ranges.at(-1)?.end ?? start) : Infinity;
  return slices({ start, end, body: stream }, ranges);
}
