import type { ByteRange } from '../plan/segments.ts';

export interface SlicesOfOptions {
  /** Where the stream begins in the blob, in bytes. */
  readonly start: number;
  /** Sorted, not overlapping. */
  readonly wanted: readonly ByteRange[];
  /** Whether what comes after the last of them is read, too. Default true. */
  readonly untilEnd?: boolean | undefined;
}

/**
 * Cuts ranges of a blob out of a stream of it.
 * @throws Error when the stream ends before them.
 */
export async function* slicesOf(
  stream: AsyncIterable<Buffer>,
  { start, wanted, untilEnd = true }: SlicesOfOptions,
): AsyncGenerator<Buffer> {
  let position = start;
  let index = 0;
  for await (const bytes of stream) {
    const end = position + bytes.length;
    for (let range = wanted[index]; range !== undefined && range.offset < end; range = wanted[index]) {
      const rangeEnd = range.offset + range.length;
      const from = Math.max(range.offset, position);
      yield bytes.subarray(from - position, Math.min(rangeEnd, end) - position);
      if (rangeEnd > end) break;
      index += 1;
    }
    position = end;
    if (index === wanted.length && !untilEnd) return;
  }
  if (index < wanted.length) throw new Error(`the bytes end at ${position}, before those wanted`);
}
