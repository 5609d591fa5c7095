import type { MultiRangeAnswer } from './options.ts';
import type { ByteRange } from './range-header.ts';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined: the ranges are refused. */
  readonly body: Buffer | undefined;
}

interface Part {
  readonly contentRange: string;
  readonly bytes: Buffer;
}

const TOKEN_BOUNDARY = '3d6b6a416f9b5f1e';
/** As CloudFront sends it; it needs quotes. @see https://www.rfc-editor.org/rfc/rfc2046#section-5.1.1 */
const COLON_BOUNDARY = 'CloudFront:70F7C5D1';
const SPACED_BOUNDARY = 'a boundary, with (specials)';

/** Answers a request for several ranges of a blob in the way asked for. `content` gives the bytes as they are to be sent. */
export function multiRangeAnswer(
  kind: MultiRangeAnswer,
  ranges: readonly ByteRange[],
  blob: Buffer,
  content: (bytes: Buffer) => Buffer,
): Answer {
  if (typeof kind === 'number') return { status: kind, headers: {}, body: undefined };
  if (kind === 'full') return { status: 200, headers: {}, body: content(blob) };
  const part = (range: ByteRange): Part => ({
    contentRange: `bytes ${range.start}-${range.end}/${blob.length}`,
    bytes: content(blob.subarray(range.start, range.end + 1)),
  });
  if (kind === 'first-only') {
    const { contentRange, bytes } = part(ranges[0] ?? { start: 0, end: 0 });
    return { status: 206, headers: { 'content-range': contentRange }, body: bytes };
  }
  const parts = spoil((kind === 'coalesce' ? coalesce(ranges) : ranges).map(part), kind, blob.length);
  const { boundary, contentType } = boundaryOf(kind);
  const body = Buffer.concat([
    Buffer.from(kind === 'preamble' ? 'to be skipped\r\n' : ''),
    ...multipart(parts, boundary),
  ]);
  return { status: 206, headers: { 'content-type': contentType }, body };
}

/** Joins ranges that touch each other. */
function coalesce(ranges: readonly ByteRange[]): readonly ByteRange[] {
  const joined: ByteRange[] = [];
  for (const range of ranges) {
    const last = joined.at(-1);
    if (last !== undefined && last.end + 1 === range.start) joined.splice(-1, 1, { start: last.start, end: range.end });
    else joined.push(range);
  }
  return joined;
}

function spoil(parts: readonly Part[], kind: MultiRangeAnswer, size: number): readonly Part[] {
  const last = parts.at(-1);
  if (last === undefined) return parts;
  const others = parts.slice(0, -1);
  if (kind === 'reorder') return parts.toReversed();
  if (kind === 'missing-part') return others;
  if (kind === 'extra-part') return [...parts, last];
  if (kind === 'wrong-part-range')
    return [...others, { ...last, contentRange: `bytes 0-${last.bytes.length - 1}/${size}` }];
  if (kind === 'short-part') return [...others, { ...last, bytes: last.bytes.subarray(0, -1) }];
  return parts;
}

function boundaryOf(kind: MultiRangeAnswer): { boundary: string; contentType: string } {
  const type = 'multipart/byteranges';
  if (kind === 'no-boundary') return { boundary: TOKEN_BOUNDARY, contentType: type };
  if (kind === 'unquoted-colon-boundary')
    return { boundary: COLON_BOUNDARY, contentType: `${type}; boundary=${COLON_BOUNDARY}` };
  if (kind === 'quoted-boundary')
    return { boundary: SPACED_BOUNDARY, contentType: `${type}; boundary="${SPACED_BOUNDARY}"` };
  return { boundary: TOKEN_BOUNDARY, contentType: `${type}; boundary=${TOKEN_BOUNDARY}` };
}

/** Parts as Go's mime/multipart writes them. */
function multipart(parts: readonly Part[], boundary: string): readonly Buffer[] {
  const pieces = parts.flatMap(({ contentRange, bytes }, index) => [
    Buffer.from(
      `${index === 0 ? '' : '\r\n'}--${boundary}\r\nContent-Range: ${contentRange}\r\nContent-Type: application/octet-stream\r\n\r\n`,
    ),
    bytes,
  ]);
  return [...pieces, Buffer.from(`\r\n--${boundary}--\r\n`)];
}
