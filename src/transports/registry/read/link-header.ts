import { atOrigin, resolveUrl, type HttpResponse } from '../../../http/index.ts';

/** A link to another page, and what that is to this one. */
export interface Link {
  readonly target: string;
  /** In lower case; undefined where the link does not say. */
  readonly rel: readonly string[] | undefined;
}

const SPACES = /[\s,]*/y;
const TARGET = /<([^>]*)>/y;
const PARAMETER = /\s*;\s*(?:([^\s=;,"]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s";,]*)))?)?/y;

/**
 * Reads a Link header. What is malformed ends it; the links before it count.
 * @see https://www.rfc-editor.org/rfc/rfc8288#section-3
 */
function parseLinks(header: string): readonly Link[] {
  const links: Link[] = [];
  let position = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = position;
    const match = pattern.exec(header);
    if (match !== null) position = pattern.lastIndex;
    return match;
  };
  for (;;) {
    take(SPACES);
    const target = take(TARGET)?.[1];
    if (target === undefined) return links;
    let rel: readonly string[] | undefined;
    for (let found = take(PARAMETER); found !== null; found = take(PARAMETER)) {
      const [, name = '', quoted, plain = ''] = found;
      // The first one counts.
      if (name.toLowerCase() === 'rel') rel ??= (quoted ?? plain).toLowerCase().split(/\s+/);
    }
    links.push({ target, rel });
  }
}

/**
 * Where the next page of a list is, undefined for the last one. Only the path and query of a Link count: behind a TLS proxy a registry may believe that it has another scheme or host.
 */
export function nextPage({ headers }: Pick<HttpResponse, 'headers'>, url: URL): URL | undefined {
  const links = parseLinks([headers['link'] ?? []].flat().join(', '));
  // A registry that names no relation means the next page.
  const link = links.find(({ rel }) => rel?.includes('next')) ?? links.find(({ rel }) => rel === undefined);
  const next = link && resolveUrl(link.target, url);
  return next && atOrigin(next, url.origin);
}
