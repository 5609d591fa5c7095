import { type CredentialLookUp, type CredentialSearch, NO_CREDENTIALS } from '../../auth/credential-search.ts';
import type { Credentials } from '../../auth/credentials.ts';
import type { TlsSettings } from '../../http/connect/trust.ts';
import { homeDirectory } from '../../io/home-directory.ts';
import type { RegistryReference } from '../../reference/registry-reference.ts';
import type { RepositoryName } from '../../contract/image-source.ts';
import type { EndpointOptions } from '../../contract/endpoint-options.ts';
import type { OpenOptions } from '../transport.ts';
import type { RegistryEndpoint } from './registry-access.ts';

/** An address that has, or takes, what is under a name. */
export interface Endpoint extends RegistryEndpoint {
  readonly address: RepositoryName;
}

/**
 * Finds the endpoints of a name, at least one. To read, they are asked in this order, until one has what is wanted; to write, the first one is used.
 */
export type ResolveEndpoints = (
  name: RegistryReference,
  use: 'read' | 'write',
) => Promise<readonly [Endpoint, ...Endpoint[]]>;

/** A resolver for which every name is its own address. */
export function resolveToItself(options: OpenOptions): ResolveEndpoints {
  return ({ registry, repository }) => {
    const address = { registry, repository };
    return Promise.resolve([{ address, ...registryEndpoint(address, options) }]);
  };
}

/** How a registry is to be reached, and as whom, for a repository of it or (undefined) for the registry alone. */
export function registryEndpoint(
  { registry, repository }: Pick<RepositoryName, 'registry'> & Partial<RepositoryName>,
  options: OpenOptions,
): RegistryEndpoint {
  const { endpoint } = options;
  const credentials = endpoint.noCreds
    ? { ...NO_CREDENTIALS, from: endpoint.credentialsFrom ?? 'noCreds' }
    : (givenCredentials(endpoint) ?? lookUp(registry, repository, options));
  return { credentials, plainHttp: endpoint.plainHttp, tls: tlsOf(endpoint) };
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

function tlsOf({ tlsVerify: verify, certDir, caFile }: EndpointOptions): TlsSettings {
  return { verify, certDir, caFile };
}
