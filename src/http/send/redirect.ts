import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { dumpBody } from './body.ts';
import { resolveUrl } from './exact-url.ts';
import { refuseLinkLocal } from './link-local.ts';
import { redactUrl } from './network-error.ts';
import { header, isReplayable, type HttpRequest, type HttpResponse, type Layer } from './send.ts';

const MAX_HOPS = 10;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * Follows redirects by hand: credentials stay with the origin they were made for, everything else goes along: method, body, Range.
 * A link-local address is refused, whether a redirect or an upload's Location leads there.
 * Where the body cannot be sent again a redirect is an error, for it must not be taken for an answer.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-15.4
 */
export const redirect: Layer = (next) => async (original) => {
  let request = original;
  for (let hops = 0; ; hops += 1) {
    refuseLinkLocal(request, original.authOrigin ?? original.url.origin);
    const response = await next(request);
    const location = REDIRECTS.has(response.status) ? header(response, 'location') : undefined;
    if (location === undefined) return response;
    await dumpBody(response);
    if (hops === MAX_HOPS) throw redirectError(original, `more than ${MAX_HOPS} redirects`);
    request = follow(request, response, location);
  }
};

function follow(request: HttpRequest, response: HttpResponse, location: string): HttpRequest {
  const url = resolveUrl(location, request.url);
  if (url === undefined) throw redirectError(request, 'the Location of a redirect is not a valid http(s) URL');
  request.checkUrl?.(url);
  const { method, body } = request;
  const isRead = method === 'GET' || method === 'HEAD';
  // A write that became a GET, as browsers do it, would take that GET's 200 for its own success.
  if (response.status === 303 && !isRead) throw redirectError(request, '303 in place of an answer');
  if (!isReplayable(request))
    throw redirectError(request, `${response.status} in the middle of a body that cannot be sent again`);
  if (url.origin === request.url.origin) return { ...request, url };
  // What is posted is a form for a token server, with a secret in it.
  if (method === 'POST' && body instanceof Uint8Array && body.length > 0)
    throw redirectError(request, `a redirect to another origin, ${url.origin}, which must not get the form`);
  const { authorization: _, ...headers } = request.headers ?? {};
  return { ...request, url, headers };
}

function redirectError(request: HttpRequest, what: string): ImgcopyError {
  return new ImgcopyError(`${request.method} ${redactUrl(request.url)}: ${what}`, {
    code: 'ERR_REDIRECT',
    side: request.side,
  });
}
