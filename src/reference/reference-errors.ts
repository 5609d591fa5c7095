import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { quote } from '../errors/printable.ts';

/** A text that names no image; the message says what is wrong with it. */
export class InvalidReferenceError extends ImgcopyError {
  constructor(text: string, problem: string, options: { readonly hint?: string | undefined } = {}) {
    super(`invalid reference ${quoteReference(text)}: ${problem}`, {
      code: 'ERR_INVALID_REFERENCE',
      kind: 'usage',
      ...(options.hint !== undefined && { hint: options.hint }),
    });
  }
}

/** A reference to a place that imgcopy cannot read or write. */
export class UnknownTransportError extends ImgcopyError {
  constructor(text: string, transport: string, options: { readonly known: readonly string[]; readonly hint: string }) {
    super(
      `unknown transport ${quote(transport)} in ${quoteReference(text)}: supported are ${options.known.join(', ')}`,
      { code: 'ERR_UNKNOWN_TRANSPORT', kind: 'usage', hint: options.hint },
    );
  }
}

/** A reference as messages show it: quoted, cut to a readable length, `***` for a user name and password. */
function quoteReference(text: string): string {
  return quote(text.replace(USERINFO, '$1***@'), 300);
}

/** Whether a user name was written before the host, as in a URL. */
export function holdsUserinfo(text: string): boolean {
  return USERINFO.test(text);
}

/** A reference without the user name and password written before its host, for hints. */
export function withoutUserinfo(text: string): string {
  return text.replace(USERINFO, '$1');
}

// What follows the `@` of a digest holds no slash, so an `@` with a slash after it ends a user name; but for a path.
const USERINFO = /^([\w+.-]+:\/\/)?(?![./]).*@(?=[^@]*\/)/s;
