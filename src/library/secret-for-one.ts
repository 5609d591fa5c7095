import { readdir } from 'node:fs/promises';
import type { EndpointOptions } from '../contract/endpoint-options.ts';
import { ImgcopyError, type Side } from '../errors/imgcopy-error.ts';

/**
 * Refuses options that would take a secret between the user and one registry to another one, too.
 * @param registries  that the options of this side would be used with, as `host[:port]`; one of them may stand there several times.
 * @throws ImgcopyError ERR_SECRET_FOR_SEVERAL
 */
export async function refuseSecretForSeveral(
  registries: readonly string[],
  { side, endpoint = {} }: { readonly side: Side; readonly endpoint: EndpointOptions | undefined },
): Promise<void> {
  const different = [...new Set(registries)];
  if (different.length < 2) return;
  const secret = await secretIn(endpoint, side);
  if (secret === undefined) return;
  throw new ImgcopyError(`${secret} would go to ${different.length} registries: ${different.join(', ')}`, {
    code: 'ERR_SECRET_FOR_SEVERAL',
    kind: 'usage',
    side,
    hint: 'log in to each registry with imgcopy login, or copy with one registry at a time; client certificates per registry belong into certs.d',
  });
}

/** What of the options is for one registry alone, in the user's words. */
async function secretIn(endpoint: EndpointOptions, side: Side): Promise<string | undefined> {
  const { username, password, registryToken, credentialsFrom, certDir, noCreds } = endpoint;
  const isGiven = username !== undefined || password !== undefined || registryToken !== undefined;
  if (isGiven && !noCreds) return `the credentials of ${credentialsFrom ?? `the ${side}`}`;
  if (certDir === undefined) return undefined;
  // What cannot be read is told when it is opened.
  const files = await readdir(certDir).catch((): string[] => []);
  return files.some((file) => /\.(?:cert|key)$/.test(file)) ? `the client certificate in ${certDir}` : undefined;
}
