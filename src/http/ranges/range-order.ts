import { BadPartialRequestError } from '../../contract/errors.ts';
import { describeRange } from './byte-ranges.ts';
import type { ByteRange } from '../../io/byte-range.ts';
import { RangeBodyError } from './range-errors.ts';

/** How much of spans that came before their turn is kept, in bytes. */
const EARLY_LIMIT = 8 * 1024 * 1024;

/** Consecutive bytes of a blob, as a server sends them. The body has as many bytes as the range, or fails. */
export interface Span extends ByteRange {
  readonly body: AsyncIterable<Buffer>;
}

/** A span that came before its turn: the bytes of its ranges, and the index of the last of these. */
interface EarlySpan {
  readonly last: number;
  readonly bytes: Buffer;
}

/**
 * The bytes of ranges, one range after the other, out of spans in any order. A span gives one range, or several and what lies between them.
 *
 * @param spans  each is read before the next is taken.
 * @param ranges  sorted and not overlapping.
 * @throws RangeBodyError ERR_WRONG_RANGE for a span that was not asked for, or is given twice. BadPartialRequestError, between two ranges, when the
 *   spans end before all ranges came, or more than 8 MiB of them came before their turn.
 */
export async function* inOrder(
  spans: AsyncIterable<Span>,
  ranges: readonly ByteRange[],
): AsyncGenerator<Buffer, void, undefined> {
  const early = new Map<number, EarlySpan>();
  const placed = new Set<number>();
  let turn = 0;
  let kept = 0;
  for await (const span of spans) {
    const { first, last } = place(span, ranges, placed);
    const covered = ranges.slice(first, last + 1);
    if (first === turn) {
      yield* slices(span, covered);
      turn = last + 1;
    } else {
      kept += totalLength(covered);
      if (kept > EARLY_LIMIT) throw new BadPartialRequestError(206, 'with parts far from the order asked for');
      early.set(first, { last, bytes: await collect(slices(span, covered)) });
    }
    for (let next = early.get(turn); next !== undefined; next = early.get(turn)) {
      early.delete(turn);
      kept -= next.bytes.length;
      turn = next.last + 1;
      yield next.bytes;
    }
  }
  if (turn < ranges.length) throw new BadPartialRequestError(206, `with ${placed.size} of ${ranges.length} ranges`);
}

/**
 * Cuts ranges out of a span that they lie in. What comes after the last of them is not read, the end of the span is.
 * @param ranges  sorted, not overlapping.
 * @throws Error when the span's body ends before them.
 */
export async function* slices(span: Span, ranges: readonly ByteRange[]): AsyncGenerator<Buffer, void, undefined> {
  let position = span.start;
  let index = 0;
  for await (const bytes of span.body) {
    const end = position + bytes.length;
    for (let range = ranges[index]; range !== undefined && range.start < end; range = ranges[index]) {
      yield bytes.subarray(Math.max(range.start - position, 0), range.end - position);
      if (range.end > end) break;
      index += 1;
    }
    if (index === ranges.length && end < span.end) return;
    position = end;
  }
  if (index < ranges.length) throw new Error(`the bytes end at ${position}, before those wanted`);
}

/** Finds the ranges that a span gives, and notes that they came. */
function place(span: Span, ranges: readonly ByteRange[], placed: Set<number>): { first: number; last: number } {
  const first = ranges.findIndex(({ start }) => start === span.start);
  const last = ranges.findIndex(({ end }) => end === span.end);
  if (first === -1 || last < first) {
    throw new RangeBodyError('ERR_WRONG_RANGE', `the bytes ${describeRange(span)} came and were not asked for`);
  }
  for (let index = first; index <= last; index += 1) {
    if (placed.has(index)) {
      throw new RangeBodyError('ERR_WRONG_RANGE', `the bytes ${describeRange(span)} came, and were there already`);
    }
    placed.add(index);
  }
  return { first, last };
}

function totalLength(ranges: readonly ByteRange[]): number {
  return ranges.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** Copies the bytes, so that no packet is held for a piece of it. */
async function collect(bytes: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of bytes) pieces.push(piece);
  return Buffer.concat(pieces);
}
