import type { BlobRange } from '../contract/blob-chunk-accessor.ts';

/** Ranges that cover all of these, sorted, not overlapping. */
export function unionOf(ranges: readonly BlobRange[]): readonly BlobRange[] {
  const union: { offset: number; length: number }[] = [];
  for (const { offset, length } of ranges.toSorted((one, other) => one.offset - other.offset)) {
    const last = union.at(-1);
    if (last === undefined || last.offset + last.length < offset) union.push({ offset, length });
    else last.length = Math.max(last.length, offset + length - last.offset);
  }
  return union;
}
