import {
  type CredentialLookUp,
  type CredentialSearch,
  type CredentialSource,
  NO_CREDENTIALS,
} from '../../auth/credential-search.ts';
import type { Credentials } from '../../auth/credentials.ts';
import type { TlsSettings } from '../../http/connect/trust.ts';
import type { RequestObserver } from '../../http/send/send.ts';
import { homeDirectory } from '../../io/home-directory.ts';
import type { RegistryReference } from '../../reference/registry-reference.ts';
import type { EndpointOptions } from '../../contract/endpoint-options.ts';
import type { OpenOptions } from '../transport.ts';

/** How a registry is to be reached, and as whom, for a repository of it or (undefined) for the registry alone. */
export function registryEndpoint(
  { registry, repository }: Pick<RegistryReference, 'registry'> & Partial<Pick<RegistryReference, 'repository'>>,
  options: OpenOptions,
): RegistryEndpoint {
  const { endpoint, observer, signal } = options;
  const credentials = endpoint.noCreds
    ? { ...NO_CREDENTIALS, from: endpoint.credentialsFrom ?? 'noCreds' }
    : (givenCredentials(endpoint) ?? lookUp(registry, repository, options));
  return { credentials, observer, signal, plainHttp: endpoint.plainHttp, tls: tlsOf(endpoint) };
}

function givenCredentials({
  registryToken,
  username,
  password = '',
  credentialsFrom,
}: EndpointOptions): CredentialSearch | undefined {
  const credentials: Credentials | undefined =
    registryToken !== undefined
      ? { kind: 'registry-token', token: registryToken }
      : username === undefined
        ? undefined
        : { kind: 'basic', username, password };
  return credentials && { ...NO_CREDENTIALS, credentials, from: credentialsFrom, isGiven: true };
}

/** A search in auth files, which is loaded when a registry wants credentials. */
function lookUp(
  registry: string,
  repository: string | undefined,
  { endpoint, env, onWarning }: OpenOptions,
): CredentialLookUp {
  const { authFile } = endpoint;
  const options = { registry, repository, authFile, env, homeDir: homeDirectory(), onWarning };
  return {
    find: async () => (await import('../../auth/find-credentials.ts')).findCredentials(options),
    areAtHand: async () => (await import('../../auth/find-credentials.ts')).areCredentialsAtHand(options),
  };
}

export interface RegistryEndpoint {
  readonly credentials: CredentialSource;
  readonly observer: RequestObserver;
  readonly signal: AbortSignal;
  readonly plainHttp: boolean | undefined;
  readonly tls: TlsSettings;
}

function tlsOf({ tlsVerify: verify, certDir, caFile }: EndpointOptions): TlsSettings {
  return { verify, certDir, caFile };
}
