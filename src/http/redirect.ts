import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { dumpBody } from './body.ts';
import { redactUrl } from './network-error.ts';
import { header, type HttpRequest, type HttpResponse, type Layer } from './send.ts';
import { isReplayable } from './undici-send.ts';

const MAX_HOPS = 10;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * Follows redirects by hand: credentials stay with the origin they were made for, everything else, Range included, goes along.
 * A 307 or 308 to a request whose body cannot be sent again is an error, for it must not be taken for an answer.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-15.4
 */
export const redirect: Layer = (next) => async (original) => {
  let request = original;
  for (let hops = 0; ; hops += 1) {
    const response = await next(request);
    const location = REDIRECTS.has(response.status) ? header(response, 'location') : undefined;
    if (location === undefined) return response;
    await dumpBody(response);
    if (hops === MAX_HOPS) throw redirectError(original, `more than ${MAX_HOPS} redirects`);
    request = follow(request, response, location);
  }
};

function follow(request: HttpRequest, response: HttpResponse, location: string): HttpRequest {
  const url = URL.parse(location, request.url.href);
  if (url === null || !/^https?:$/.test(url.protocol)) throw redirectError(request, 'a redirect to no http(s) URL');
  const headers = { ...request.headers };
  if (url.origin !== request.url.origin) delete headers['authorization'];
  const becomesGet = response.status <= 303 && request.method !== 'GET' && request.method !== 'HEAD';
  if (becomesGet) return { ...request, method: 'GET', url, headers, body: undefined, bodyLength: undefined };
  if (!isReplayable(request))
    throw redirectError(request, `${response.status} in the middle of a body that cannot be sent again`);
  return { ...request, url, headers };
}

function redirectError(request: HttpRequest, what: string): ImgcopyError {
  return new ImgcopyError(`${request.method} ${redactUrl(request.url)}: ${what}`, {
    code: 'ERR_REDIRECT',
    side: request.side,
  });
}
