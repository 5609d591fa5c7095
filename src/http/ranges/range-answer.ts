import { setImmediate as nextTurn } from 'node:timers/promises';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { quote } from '../../errors/printable.ts';
import { BadPartialRequestError } from '../../contract/errors.ts';
import { dumpBody } from '../send/body.ts';
import { describeRange } from './byte-ranges.ts';
import type { ByteRange } from '../../io/byte-range.ts';
import { type ContentRange, parseContentRange } from './content-range.ts';
import { boundaryOf, isMultipart } from './multipart-boundary.ts';
import { multipartParts } from './multipart.ts';
import { RangeBodyError } from './range-errors.ts';
import { inOrder, slices, type Span } from './range-order.ts';
import { exactly } from './range-packets.ts';
import { header, type HttpResponse } from '../send/send.ts';

/**
 * The bytes of ranges, one range after the other, out of the answer to a request for them: a whole blob (200), one part or many (206). The body
 * is read to its end, or destroyed.
 *
 * @param ranges  as asked for: sorted and not overlapping.
 * @param size  of the blob in bytes; an answer of a blob of another size is refused.
 * @throws BadPartialRequestError for 400, 416 and 501, for one part that does not cover all ranges, and what `inOrder` says of parts;
 *   RangeBodyError for an answer that is cut off, malformed or of other bytes; ImgcopyError for any other status. A
 *   Content-Encoding is ignored: what the bytes are, their digest decides.
 */
export async function* answeredBytes(
  response: HttpResponse,
  ranges: readonly ByteRange[],
  size: number,
): AsyncGenerator<Buffer, void, undefined> {
  try {
    await refuseOtherThanBytes(response);
    if (response.status === 200) yield* slices(wholeBlob(response, size), ranges);
    else yield* inOrder(partialSpans(response, ranges, size), ranges);
    // Undici takes a connection up again a turn after its answer has ended: a request before that would open another.
    await nextTurn();
  } finally {
    response.body.destroy();
  }
}

/** Statuses that refuse ranges, and their texts. (node:http has them too, but loads all of Node's fetch when it is imported: 70 ms.) */
const REFUSALS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  416: 'Range Not Satisfiable',
  501: 'Not Implemented',
};

async function refuseOtherThanBytes(response: HttpResponse): Promise<void> {
  const { status } = response;
  if (status in REFUSALS) {
    await dumpBody(response);
    throw new BadPartialRequestError(status, REFUSALS[status] ?? '');
  }
  if (status !== 200 && status !== 206) {
    await dumpBody(response);
    throw new ImgcopyError(`a request for ranges: expected 200 or 206, found ${status}`, {
      code: 'ERR_UNEXPECTED_STATUS',
    });
  }
}

function wholeBlob(response: HttpResponse, size: number): Span {
  checkContentLength(response, size);
  return { start: 0, end: size, body: exactly(response.body, size) };
}

async function* partialSpans(
  response: HttpResponse,
  ranges: readonly ByteRange[],
  size: number,
): AsyncGenerator<Span, void, undefined> {
  if (!isMultipart(header(response, 'content-type'))) {
    yield singlePart(response, ranges, size);
    return;
  }
  for await (const { range, body } of multipartParts(response.body, expectBoundary(response))) {
    checkTotal(range, size);
    yield { start: range.start, end: range.end, body };
  }
}

function singlePart(response: HttpResponse, ranges: readonly ByteRange[], size: number): Span {
  const value = response.headers['content-range'];
  const range = parseContentRange(typeof value === 'string' ? value : undefined);
  if (range === undefined) throw wrongRange('one valid Content-Range with 206', quote(String(value)));
  checkTotal(range, size);
  const asked = { start: ranges[0]?.start ?? 0, end: ranges.at(-1)?.end ?? size };
  if (range.start !== asked.start || range.end !== asked.end) {
    if (ranges.length > 1) throw new BadPartialRequestError(206, `with one part for ${ranges.length} ranges`);
    throw wrongRange(`the bytes ${describeRange(asked)}`, describeRange(range));
  }
  const length = range.end - range.start;
  checkContentLength(response, length);
  return { start: range.start, end: range.end, body: exactly(response.body, length) };
}

function expectBoundary(response: HttpResponse): string {
  const contentType = header(response, 'content-type');
  const boundary = boundaryOf(contentType);
  if (boundary !== undefined) return boundary;
  throw new RangeBodyError('ERR_BAD_MULTIPART', `a multipart answer names no boundary: ${quote(contentType ?? '')}`);
}

function checkTotal({ total }: ContentRange, size: number): void {
  if (total === undefined || total === size) return;
  throw wrongRange(`a blob of ${size} bytes`, `one of ${total} bytes by its Content-Range`);
}

function checkContentLength(response: HttpResponse, length: number): void {
  const announced = header(response, 'content-length');
  if (announced === undefined || Number(announced) === length) return;
  throw wrongRange(`${length} bytes`, `${quote(announced)} by the Content-Length`);
}

function wrongRange(expected: string, found: string): RangeBodyError {
  return new RangeBodyError(
    'ERR_WRONG_RANGE',
    `the answer to a request for ranges: expected ${expected}, found ${found}`,
  );
}
