import type { Digest } from '../../digest/digest.ts';
import type { Piece } from '../toc/piece-list.ts';
import { assertTiling, planOf, type Plan, type Segment } from './segments.ts';
import type { ChunkedTail } from '../toc/tail.ts';

/** A chunked blob that the destination has. Its bytes are not needed, so they may be dropped. */
export interface OldBlob {
  readonly digest: Digest;
  readonly tail: Pick<ChunkedTail, 'pieces'>;
}

export interface PlanFromTailsInput {
  /** Of the new blob, in bytes. */
  readonly blobSize: number;
  /** Of the new blob. */
  readonly tail: ChunkedTail;
  readonly old: readonly OldBlob[];
}

/**
 * Part of the pieces known to an old blob that may have another compressed length there. Blobs of one encoder had up to 2.4 % (where eStargz
 * was written by several workers), of two encoders 11 to 97 % wherever pieces of equal length had other bytes (measured with five
 * versions of klauspost/compress and two levels).
 */
const MAX_FOREIGN_SHARE = 0.05;

/** An encoder gives equal pieces one length, a few at most; a table of contents that says otherwise may cost no time. */
const MAX_LENGTHS = 4;

/** A plan that saves less is not worth its requests. */
const MIN_SAVING = 0.2;

/**
 * Plans a blob out of pieces of old ones. Fetches that are neighbours are joined; `coalesceFetches` joins those that are merely near.
 *
 * Pieces are equal by their identity and compressed length, not by their bytes: the result is to be hashed.
 *
 * @returns undefined where that would save less than a fifth of the blob.
 */
export function planFromTails({ blobSize, tail, old }: PlanFromTailsInput): Plan | undefined {
  const known = old
    .map(indexOf)
    .map((index) => ({ index, score: scoreOf(tail.pieces, index) }))
    .filter(({ score }) => score > 0)
    .toSorted((one, other) => other.score - one.score)
    .map(({ index }) => index);
  const segments: Segment[] = [];
  for (const piece of tail.pieces) {
    // The end of the blob is here already, up to a point that may lie inside a piece.
    const length = Math.min(piece.length, tail.end.offset - piece.offset);
    if (length <= 0) break;
    append(segments, { offset: piece.offset, length, ...originOf(piece, known) });
  }
  append(segments, { kind: 'have', offset: tail.end.offset, length: tail.end.bytes.length, bytes: tail.end.bytes });
  assertTiling(segments, blobSize);
  const plan = planOf(segments);
  return isWorthwhile(plan) ? plan : undefined;
}

/** Whether a plan saves enough. To be asked again after coalescing with a large gap. */
export function isWorthwhile(plan: Plan): boolean {
  return plan.bytesReused >= MIN_SAVING * (plan.bytesReused + plan.bytesFetched);
}

/**
 * How many bytes of a new blob an old one can give; 0 where another encoder wrote it, for then pieces of equal length may differ in their
 * bytes.
 */
export function scoreCandidate(tail: Pick<ChunkedTail, 'pieces'>, old: OldBlob): number {
  return scoreOf(tail.pieces, indexOf(old));
}

/** The pieces of an old blob. */
interface PieceIndex {
  readonly blob: Digest;
  /** By identity, the first piece of each length. */
  readonly pieces: ReadonlyMap<string, readonly Piece[]>;
}

function indexOf({ digest, tail }: OldBlob): PieceIndex {
  const pieces = new Map<string, Piece[]>();
  for (const piece of tail.pieces) {
    const equals = pieces.get(piece.identity);
    if (equals === undefined) pieces.set(piece.identity, [piece]);
    else if (equals.length < MAX_LENGTHS && !hasLength(equals, piece.length)) equals.push(piece);
  }
  return { blob: digest, pieces };
}

function scoreOf(pieces: readonly Piece[], old: PieceIndex): number {
  let reusable = 0;
  let known = 0;
  let foreign = 0;
  for (const { identity, length } of pieces) {
    const equals = old.pieces.get(identity);
    if (equals === undefined) continue;
    known += 1;
    if (hasLength(equals, length)) reusable += length;
    else foreign += 1;
  }
  return foreign > MAX_FOREIGN_SHARE * known ? 0 : reusable;
}

function hasLength(pieces: readonly Piece[], length: number): boolean {
  return pieces.some((piece) => piece.length === length);
}

type Origin =
  { readonly kind: 'reuse'; readonly blob: Digest; readonly blobOffset: number } | { readonly kind: 'fetch' };

/** The first blob that has the piece, or the source. */
function originOf({ identity, length }: Piece, known: readonly PieceIndex[]): Origin {
  for (const { blob, pieces } of known) {
    const equal = pieces.get(identity)?.find((piece) => piece.length === length);
    if (equal !== undefined) return { kind: 'reuse', blob, blobOffset: equal.offset };
  }
  return { kind: 'fetch' };
}

/** Adds a segment, as a part of the last one where both are one stretch of the same origin. */
function append(segments: Segment[], segment: Segment): void {
  const last = segments.at(-1);
  const isOneFetch = last?.kind === 'fetch' && segment.kind === 'fetch';
  const isOneReuse =
    last?.kind === 'reuse' &&
    segment.kind === 'reuse' &&
    last.blob === segment.blob &&
    last.blobOffset + last.length === segment.blobOffset;
  if (isOneFetch || isOneReuse) segments[segments.length - 1] = { ...last, length: last.length + segment.length };
  else segments.push(segment);
}
