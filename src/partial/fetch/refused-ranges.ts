import type { BlobRange, RangeSupport, UnansweredRanges } from '../../contract/blob-chunk-accessor.ts';
import { BadPartialRequestError } from '../../contract/errors.ts';
import { RangeBodyError } from '../../http/ranges/range-errors.ts';

/** An answer that began, and went wrong in a way that other ranges may be spared. */
export interface BrokenAnswer {
  readonly kind: 'broken';
  readonly reason: RangeBodyError;
}

/** @throws the error where asking in another way would not help. */
export function brokenAnswer(
  error: unknown,
  { chunks }: { readonly chunks: readonly BlobRange[] },
): UnansweredRanges | BrokenAnswer {
  if (error instanceof BadPartialRequestError) return { kind: 'refused', reason: error };
  if (!(error instanceof RangeBodyError)) throw error;
  const isRestRefused = error.cause instanceof BadPartialRequestError;
  // Other bytes than were asked for, or no multipart that can be read: the server may be better at single ranges.
  const isFalseMultipart = chunks.length > 1 && error.code !== 'ERR_SHORT_RANGE';
  if (isRestRefused || isFalseMultipart) return { kind: 'broken', reason: error };
  throw error;
}

/** Notes that ranges are refused, where that is about ranges: a 416 or 403, say, may be about this one blob, or this one request. */
export function learnRefusal(rangeSupport: RangeSupport, failure: UnansweredRanges | BrokenAnswer): void {
  const isAboutRanges =
    failure.kind === 'whole' || (failure.kind === 'refused' && [400, 501].includes(failure.reason.status));
  if (isAboutRanges) rangeSupport.report({ ranges: false });
}
