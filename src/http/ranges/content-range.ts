import type { ByteRange } from '../../io/byte-range.ts';

/** What a part of a representation says of itself. */
export interface ContentRange extends ByteRange {
  /** Size of the whole in bytes; undefined when the server does not say. */
  readonly total: number | undefined;
}

const CONTENT_RANGE = /^bytes +(\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)$/i;

/**
 * Reads a `Content-Range` header, e.g. `bytes 0-4/15` or `bytes 0-4/*`.
 *
 * @returns undefined for anything that does not place bytes: no header, another unit, an unsatisfied range, a range that ends before it begins or
 *   beyond its total.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-14.4
 */
export function parseContentRange(value: string | undefined): ContentRange | undefined {
  const match = CONTENT_RANGE.exec(value?.trim() ?? '');
  if (match === null) return undefined;
  const start = Number(match[1]);
  const end = Number(match[2]) + 1;
  const total = match[3] === '*' ? undefined : Number(match[3]);
  const isRange = start < end && Number.isSafeInteger(end) && (total === undefined || end <= total);
  return isRange ? { start, end, total } : undefined;
}
