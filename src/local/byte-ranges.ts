import type { ByteRange } from '../io/byte-range.ts';
/** A set of bytes, as ranges that are sorted and do not touch. */
export class ByteRanges {
  #ranges: readonly ByteRange[] = [];

  /** The range that begins first. */
  get first(): ByteRange | undefined {
    return this.#ranges[0];
  }

  overlaps({ start, end }: ByteRange): boolean {
    return this.#ranges.some((range) => range.start < end && start < range.end);
  }

  add({ start, end }: ByteRange): void {
    if (start >= end) return;
    const apart = this.#ranges.filter((range) => range.end < start || end < range.start);
    const touching = this.#ranges.filter((range) => range.end >= start && end >= range.start);
    const merged = {
      start: Math.min(start, ...touching.map((range) => range.start)),
      end: Math.max(end, ...touching.map((range) => range.end)),
    };
    this.#ranges = [...apart, merged].toSorted((a, b) => a.start - b.start);
  }

  remove({ start, end }: ByteRange): void {
    this.#ranges = this.#ranges.flatMap((range) =>
      [
        { start: range.start, end: Math.min(range.end, start) },
        { start: Math.max(range.start, end), end: range.end },
      ].filter((left) => left.start < left.end),
    );
  }
}
