/** A range of a blob; `end` is the last byte's position. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Reads a Range header.
 * @returns undefined where there is none that counts (RFC 9110 has a malformed one ignored); the ranges that can be satisfied, else:
 *   none means 416.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-14.2
 */
export function parseRanges(header: string | undefined, size: number): readonly ByteRange[] | undefined {
  if (header === undefined || !/^bytes=(?:\d+-\d*|-\d+)(?:\s*,\s*(?:\d+-\d*|-\d+))*$/.test(header)) return undefined;
  const ranges = header
    .slice('bytes='.length)
    .split(',')
    .map((spec) => parseRange(spec.trim(), size));
  return ranges.filter((range) => range.start <= range.end && range.start < size);
}

function parseRange(spec: string, size: number): ByteRange {
  const [first = '', last = ''] = spec.split('-');
  if (first === '') return { start: Math.max(0, size - Number(last)), end: size - 1 };
  return { start: Number(first), end: last === '' ? size - 1 : Math.min(Number(last), size - 1) };
}
