import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { quote } from '../../errors/printable.ts';

/** What stands in an archive cannot be relied on. The message says what. */
export class InvalidArchiveError extends ImgcopyError {
  constructor(message: string, options: { readonly hint?: string | undefined; readonly cause?: unknown } = {}) {
    const { hint = 'save the image again, and check that the file is complete', cause } = options;
    super(message, { code: 'ERR_INVALID_ARCHIVE', side: 'source', hint, cause });
  }
}

/** A member's name, or a part of it, as messages show it. */
export function quoteName(name: string): string {
  return quote(name, 200);
}
