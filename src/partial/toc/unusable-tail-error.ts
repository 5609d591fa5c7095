import { ImgcopyError } from '../../errors/imgcopy-error.ts';

/**
 * The end of a blob is not what a table of contents can be read from: another format, broken, untrue or too large. It never leaves
 * `readTail`, for such a blob is simply copied in another way. The message repeats nothing of the content.
 */
export class UnusableTailError extends ImgcopyError {
  constructor(reason: string, options: { cause?: unknown } = {}) {
    super(`unusable table of contents: ${reason}`, { code: 'ERR_UNUSABLE_TAIL', kind: 'integrity', ...options });
  }
}
