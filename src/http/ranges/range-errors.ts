import { ImgcopyError } from '../../errors/imgcopy-error.ts';

/**
 * - ERR_SHORT_RANGE: the answer broke off, or ended early; the rest can be asked for.
 * - ERR_WRONG_RANGE: the answer has other bytes than were asked for, or is of a blob of another size.
 * - ERR_BAD_MULTIPART: the answer is no multipart/byteranges that can be read.
 */
export type RangeBodyErrorCode = 'ERR_SHORT_RANGE' | 'ERR_WRONG_RANGE' | 'ERR_BAD_MULTIPART';

/** An answer to a ranged request that does not give the bytes that were asked for. */
export class RangeBodyError extends ImgcopyError {
  constructor(code: RangeBodyErrorCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, { code, kind: code === 'ERR_WRONG_RANGE' ? 'integrity' : 'failed', ...options });
  }
}

/** Whether an answer was cut off, so that what it left out can be asked for again. */
export function isCut(error: unknown): error is RangeBodyError {
  return error instanceof RangeBodyError && error.code === 'ERR_SHORT_RANGE';
}
