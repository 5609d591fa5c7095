import { ImgcopyError } from './errors/imgcopy-error.ts';
import {
  type CredentialLookUp,
  type CredentialSearch,
  type CredentialSource,
  NO_CREDENTIALS,
} from './auth/credential-search.ts';
import type { Credentials } from './auth/credentials.ts';
import type { TlsSettings } from './http/connect/trust.ts';
import type { RequestObserver } from './http/send.ts';
import { homeDirectory } from './io/home-directory.ts';
import type { EndpointOptions } from './options.ts';
import type { Reference, RegistryReference } from './reference/reference.ts';
import type { RegistryAccess } from './transports/registry/registry-access.ts';
import type { BlobInfoCache } from './types/blob-info-cache.ts';
import type { ImageDestination } from './types/image-destination.ts';
import type { ImageSource } from './types/image-source.ts';
import type { RepositoryName } from './types/image-source.ts';

export interface OpenOptions {
  /** Opens the way to registries, which needs more code than a directory does. */
  readonly access: () => Promise<RegistryAccess>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly endpoint: EndpointOptions;
  readonly observer: RequestObserver;
  readonly onWarning: (message: string) => void;
  /** The cache, once it is open. */
  readonly cache?: (() => BlobInfoCache | undefined) | undefined;
  readonly signal: AbortSignal;
}

export interface OpenDestinationOptions extends OpenOptions {
  readonly source: RepositoryName | undefined;
  readonly additionalTags: readonly string[];
  readonly force: boolean;
}

/** Opens the image to read, by its reference's transport. */
export async function openSource(reference: Reference, options: OpenOptions): Promise<ImageSource> {
  if (reference.transport === 'dir') {
    const { openDirSource } = await import('./transports/dir/dir-source.ts');
    return openDirSource(reference.path);
  }
  const [{ openRegistrySource }, access, endpoint] = await Promise.all([
    import('./transports/registry/registry-source.ts'),
    options.access(),
    registryEndpoint(reference, options),
  ]);
  return openRegistrySource(access, reference, { ...endpoint, cache: options.cache });
}

/** Opens the image to write, by its reference's transport. */
export async function openDestination(
  reference: Reference,
  options: OpenDestinationOptions,
): Promise<ImageDestination> {
  if (reference.transport === 'dir') {
    if (options.additionalTags.length > 0) {
      throw new ImgcopyError('a directory has no tags', {
        code: 'ERR_USAGE',
        kind: 'usage',
        hint: 'leave out --additional-tag',
      });
    }
    const { openDirDestination } = await import('./transports/dir/dir-destination.ts');
    return openDirDestination(reference.path, { force: options.force });
  }
  const [{ openRegistryDestination }, access, endpoint] = await Promise.all([
    import('./transports/registry/registry-destination.ts'),
    options.access(),
    registryEndpoint(reference, options),
  ]);
  return openRegistryDestination(access, reference, { ...endpoint, source: options.source, cache: options.cache });
}

/** How a registry is to be reached, and as whom, for a repository of it or (undefined) for the registry alone. */
export async function registryEndpoint(
  { registry, repository }: Pick<RegistryReference, 'registry'> & Partial<Pick<RegistryReference, 'repository'>>,
  options: OpenOptions,
): Promise<RegistryEndpoint> {
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
    find: async () => (await import('./auth/find-credentials.ts')).findCredentials(options),
    areAtHand: async () => (await import('./auth/find-credentials.ts')).areCredentialsAtHand(options),
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
