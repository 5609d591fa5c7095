import { dumpBody, type HttpRequest } from '../../http/index.ts';
import type { WaitOptions } from '../../contract/blob-info.ts';
import type { ReachedRegistry } from './registry-access.ts';
import { RegistryError, toRegistryError } from './registry-error.ts';

/**
 * Asks whether a registry is there and takes the credentials it is asked with.
 *
 * @throws RegistryError of kind `denied` where it does not take them.
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#determining-support
 */
export async function pingRegistry(
  { origin, send }: Pick<ReachedRegistry, 'origin' | 'send'>,
  { signal }: WaitOptions = {},
): Promise<void> {
  const request: HttpRequest = {
    method: 'GET',
    url: new URL('/v2/', origin),
    side: 'source',
    authOrigin: origin,
    signal,
  };
  const response = await send(request);
  if (response.status !== 200) throw refusal(await toRegistryError(request, response));
  await dumpBody(response);
}

function refusal(error: RegistryError): RegistryError {
  const { message, status, codes, side = 'source', kind } = error;
  // What a 401 lacks is known already: credentials, or better ones.
  if (status === 401) return error;
  const hint =
    kind === 'denied'
      ? 'check user name and password; many registries want an access token in place of the password'
      : 'check host and port: the server may not be a registry';
  return new RegistryError(message, { status, codes, side, hint });
}
