/**
 * A URL that a server wrote, with its path and query as they came. WHATWG URLs escape `'` and others, which breaks the signature of a signed
 * URL. A copy by `new URL(url)` loses the text: use `withQuery` and `atOrigin`.
 */
export class ExactUrl extends URL {
  /** Path and query, byte for byte; begins with a slash. */
  readonly target: string;

  constructor(origin: string, target: string) {
    super(`${origin}${target}`);
    this.target = target;
  }
}

/** Printable ASCII: what a request line may carry. */
const SENDABLE = /^[\x21-\x7e]+$/;
const ABSOLUTE = /^(https?:)?\/\/([^/?#\\]*)/i;

/**
 * Resolves a reference (a Location, a Link, a foreign URL) without changing its text. A fragment is dropped.
 *
 * @param base  undefined: the reference has to be absolute.
 * @returns undefined for what is not an http(s) URL, or holds a character that must not be sent: a control, a space, or one beyond ASCII.
 * @see https://www.rfc-editor.org/rfc/rfc3986#section-5.2
 */
export function resolveUrl(reference: string, base?: URL): ExactUrl | undefined {
  const [text = ''] = reference.split('#');
  if (text !== '' && !SENDABLE.test(text)) return undefined;
  const [start, scheme = base?.protocol, authority] = ABSOLUTE.exec(text) ?? [];
  if (start !== undefined) {
    const origin = scheme === undefined ? undefined : URL.parse(`${scheme}//${authority}/`)?.origin;
    if (origin === undefined) return undefined;
    const target = text.slice(start.length);
    return new ExactUrl(origin, target.startsWith('/') ? target : `/${target}`);
  }
  if (base === undefined || /^[a-z][a-z\d+.-]*:/i.test(text)) return undefined;
  return new ExactUrl(base.origin, resolvedTarget(text, requestTarget(base)));
}

/** The path and query that a request for a URL asks for. */
export function requestTarget(url: URL): string {
  return url instanceof ExactUrl ? url.target : `${url.pathname}${url.search}`;
}

/** A URL as a text that `resolveUrl` takes back. */
export function exactText(url: URL): string {
  return `${url.origin}${requestTarget(url)}`;
}

/** A URL with a further parameter in its query, which is kept as it is. */
export function withQuery(url: URL, parameter: string): ExactUrl {
  const target = requestTarget(url);
  return new ExactUrl(url.origin, `${target}${target.includes('?') ? '&' : '?'}${parameter}`);
}

/** The same path and query at another origin. */
export function atOrigin(url: URL, origin: string): ExactUrl {
  return new ExactUrl(origin, requestTarget(url));
}

function resolvedTarget(text: string, base: string): string {
  const [path = '/'] = base.split('?');
  if (text === '') return base;
  if (text.startsWith('?')) return `${path}${text}`;
  if (text.startsWith('/')) return text;
  const [relative = '', ...query] = text.split('?');
  const merged = withoutDots(`${path.slice(0, path.lastIndexOf('/') + 1)}${relative}`);
  return [merged, ...query].join('?');
}

function withoutDots(path: string): string {
  const segments: string[] = [];
  for (const segment of path.split('/').slice(1)) {
    if (segment === '..') segments.pop();
    else if (segment !== '.') segments.push(segment);
  }
  if (/\/\.{1,2}$/.test(path)) segments.push('');
  return `/${segments.join('/')}`;
}
