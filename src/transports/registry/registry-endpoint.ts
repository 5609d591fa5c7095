import { type CredentialLookUp, type CredentialSearch, NO_CREDENTIALS } from '../../auth/credential-search.ts';
import type { Credentials } from '../../auth/credentials.ts';
import { canonicalRegistry } from '../../auth/registry-key.ts';
import { homeDirectory } from '../../io/home-directory.ts';
import type { RegistryReference } from '../../reference/registry-reference.ts';
import type { ConfiguredEndpoint } from '../../registries/configured-endpoint.ts';
import type { RepositoryName } from '../../contract/image-source.ts';
import type { EndpointOptions } from '../../contract/endpoint-options.ts';
import type { OpenOptions } from '../transport.ts';
import type { RegistryEndpoint } from './registry-access.ts';

/** An address that has, or takes, what is under a name. */
export interface Endpoint extends RegistryEndpoint {
  readonly address: RepositoryName;
  /** Whether it stands beside the registry of the name. Default false. */
  readonly isMirror?: boolean | undefined;
  /** Whether it may say what a tag means. Default true. */
  readonly resolvesTags?: boolean | undefined;
  /** The path of its API. Default `/v2`. */
  readonly apiRoot?: string | undefined;
  /** The registry of the name, told with each request as `ns`. Default: not told. */
  readonly namespace?: string | undefined;
}

/**
 * Finds the endpoints of a name for reading, at least one: they are asked in this order, until one has what is wanted.
 * @throws ImgcopyError ERR_REGISTRY_BLOCKED, or where the configuration of this machine is invalid.
 */
export async function endpointsToRead(
  reference: RegistryReference,
  options: OpenOptions,
): Promise<readonly [Endpoint, ...Endpoint[]]> {
  const [first, ...others] = (await options.registries()).endpointsToRead(reference);
  const endpoint = (configured: ConfiguredEndpoint): Endpoint => endpointOf(configured, reference, options);
  return [endpoint(first), ...others.map(endpoint)];
}

/** Finds the endpoint of a name for writing. @throws as `endpointsToRead`. */
export async function endpointToWrite(reference: RegistryReference, options: OpenOptions): Promise<Endpoint> {
  return endpointOf((await options.registries()).endpointToWrite(reference), reference, options);
}

/** What the user gave for the registry of the name is for that host alone: credentials, a client certificate, and that it speaks http. */
function endpointOf(configured: ConfiguredEndpoint, { registry }: RegistryReference, options: OpenOptions): Endpoint {
  const { address, isMirror, insecure, plainHttp, resolvesTags, apiRoot, namespace, certificates, certDir } =
    configured;
  const { endpoint } = options;
  const isItself = canonicalRegistry(address.registry) === canonicalRegistry(registry);
  const { username: _, password: __, registryToken: ___, ...others } = endpoint;
  const { credentials } = registryEndpoint(address, isItself ? options : { ...options, endpoint: others });
  const isMeant = isItself || !isMirror;
  return {
    address,
    isMirror,
    resolvesTags,
    apiRoot,
    namespace,
    credentials,
    plainHttp: plainHttp === true || (isMeant && endpoint.plainHttp === true),
    tls: {
      verify: endpoint.tlsVerify ?? (insecure ? false : undefined),
      caFile: endpoint.caFile,
      certDir: (isMeant ? endpoint.certDir : undefined) ?? certDir,
      certificates,
    },
  };
}

/** How a registry is to be reached, and as whom, for a repository of it or (undefined) for the registry alone. */
function registryEndpoint(
  { registry, repository }: Pick<RepositoryName, 'registry'> & Partial<RepositoryName>,
  options: OpenOptions,
): RegistryEndpoint {
  const { endpoint } = options;
  const credentials = endpoint.noCreds
    ? { ...NO_CREDENTIALS, from: endpoint.credentialsFrom ?? 'noCreds' }
    : (givenCredentials(endpoint) ?? lookUp(registry, repository, options));
  const { tlsVerify: verify, certDir, caFile, plainHttp } = endpoint;
  return { credentials, plainHttp, tls: { verify, certDir, caFile } };
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

/** A search in auth files and helpers, which is loaded when a registry wants credentials. */
function lookUp(
  registry: string,
  repository: string | undefined,
  { endpoint, env, onWarning, registries }: OpenOptions,
): CredentialLookUp {
  const { authFile } = endpoint;
  const options = { registry, repository, authFile, env, homeDir: homeDirectory(), onWarning };
  const helpers = async (): Promise<readonly string[] | undefined> => (await registries()).credentialHelpers;
  return {
    find: async () =>
      (await import('../../auth/find-credentials.ts')).findCredentials({ ...options, helpers: await helpers() }),
    areAtHand: async () =>
      (await import('../../auth/find-credentials.ts')).areCredentialsAtHand({ ...options, helpers: await helpers() }),
  };
}
