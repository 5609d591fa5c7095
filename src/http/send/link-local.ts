import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { addressScope } from '../../io/address-scope.ts';
import { redactUrl } from './network-error.ts';
import type { HttpRequest } from './send.ts';

/**
 * Refuses a request to a link-local address that a server named: cloud machines find their own credentials there. Names are not looked up.
 *
 * @param ownOrigin  of the registry, whose host is exempt.
 * @throws ImgcopyError `ERR_LINK_LOCAL_ADDRESS`
 */
export function refuseLinkLocal(
  { method, url, side }: Pick<HttpRequest, 'method' | 'url' | 'side'>,
  ownOrigin: string,
): void {
  const own = new URL(ownOrigin);
  if (url.hostname === own.hostname || addressScope(url.hostname) !== 'link-local') return;
  throw new ImgcopyError(`${method} ${redactUrl(url)} was not sent: ${own.host} leads to a link-local address`, {
    code: 'ERR_LINK_LOCAL_ADDRESS',
    side,
    hint: 'tell the operator of the registry: cloud machines keep their credentials at such addresses, so imgcopy never follows them',
  });
}
