import { type CredentialSearch, NO_CREDENTIALS } from '../auth/credential-search.ts';
import type { BasicCredentials } from '../auth/credentials.ts';
import { duringOperation, ImgcopyError } from '../errors/imgcopy-error.ts';
import type { QueryOptions } from './options.ts';
import { openOptions } from './questions.ts';
import { homeDirectory } from '../io/home-directory.ts';
import { SharedResources } from './shared-resources.ts';
import { parseRegistryReference } from '../reference/registry-reference.ts';
import type { RepositoryName } from '../contract/image-source.ts';
import { endpointToWrite, type Endpoint } from '../transports/registry/registry-endpoint.ts';
import type { OpenOptions } from '../transports/transport.ts';

export interface LoginResult {
  /** `host[:port]`; Docker Hub is docker.io. */
  readonly registry: string;
  /** The file or credential helper that has the credentials now. */
  readonly storedIn: string;
  /** False where the registry let everybody in, and so said nothing of the credentials. */
  readonly checked: boolean;
}

/** Which credentials a copy would send to a registry, and what the registry says to them. No secret is in it. */
export interface LoginCheck {
  /** `host[:port]`; Docker Hub is docker.io. */
  readonly registry: string;
  /** Undefined: none were found, so the registry is asked anonymously. */
  readonly credentials:
    { readonly kind: 'password' | 'identity-token' | 'registry-token'; readonly username?: string } | undefined;
  /** The option, variable, file or credential helper that they come from. */
  readonly from: string | undefined;
  /** The auth files that were read and have no credentials for this registry. */
  readonly searched: readonly string[];
  /** What went wrong in the search: a helper that failed, a file that cannot be read. */
  readonly problems: readonly string[];
  /**
   * `accepted`: the registry took the credentials. `anonymous`: there are none, and the registry lets everybody in, if only to read.
   * `unchecked`: there are some, and the registry asked for none. `refused`: 401 or 403, by the registry or its token server.
   */
  readonly answer: 'accepted' | 'anonymous' | 'unchecked' | 'refused';
  /** The refusal, of kind `denied`. */
  readonly error?: ImgcopyError;
}

export interface LogoutResult {
  readonly registry: string;
  /** The files and credential helpers that had credentials; none where nobody was logged in. */
  readonly removedFrom: readonly string[];
}

/**
 * Asks a registry whether it knows a user, and stores the credentials where podman, skopeo, docker and imgcopy look for them.
 *
 * @param registry  `host[:port]`; a scheme in front of it is ignored.
 * @throws ImgcopyError of kind `denied` where the registry does not; nothing is stored then.
 */
export async function login(
  registry: string,
  user: Omit<BasicCredentials, 'kind'>,
  options: QueryOptions = {},
): Promise<LoginResult> {
  const host = parseRegistry(registry);
  const credentials: BasicCredentials = { kind: 'basic', ...user };
  await using shared = new SharedResources(options);
  try {
    const open = openOptions(shared, options);
    const search = { ...NO_CREDENTIALS, credentials, isGiven: true };
    const checked = await isAsked(await endpointToWrite(registryAlone(host), open), search, open);
    const { storeCredentials } = await import('../auth/store-credentials.ts');
    const storedIn = await storeCredentials({
      registry: host,
      credentials,
      authFile: options.endpoint?.authFile,
      env: shared.env,
      homeDir: homeDirectory(),
      onWarning: shared.warn,
      signal: options.signal,
    });
    return { registry: host, storedIn, checked };
  } catch (error) {
    throw duringOperation(`logging in to ${host}`, error);
  }
}

/**
 * Looks for the credentials that a copy would send to a registry, and shows them to it. Nothing is stored.
 *
 * @param registry  `host[:port]`, or `host[:port]/name` for a repository that may have credentials of its own.
 * @throws ImgcopyError where the registry cannot be asked, or an auth file is broken; a refusal is part of the result.
 */
export async function checkLogin(registry: string, options: QueryOptions = {}): Promise<LoginCheck> {
  const place = parsePlace(registry);
  await using shared = new SharedResources(options);
  try {
    const open = openOptions(shared, options);
    const endpoint = await endpointToWrite(place, open);
    const { credentials = NO_CREDENTIALS } = endpoint;
    const search = 'find' in credentials ? await credentials.find() : credentials;
    const found = { registry: place.registry, ...described(search) };
    try {
      const asked = await isAsked(endpoint, search, open);
      const answer = found.credentials === undefined ? 'anonymous' : asked ? 'accepted' : 'unchecked';
      return { ...found, answer };
    } catch (error) {
      if (!(error instanceof ImgcopyError) || error.kind !== 'denied') throw error;
      return { ...found, answer: 'refused', error };
    }
  } catch (error) {
    throw duringOperation(`checking the credentials for ${registry}`, error);
  }
}

function described({
  credentials,
  from,
  searched,
  problems,
}: CredentialSearch): Pick<LoginCheck, 'credentials' | 'from' | 'searched' | 'problems'> {
  if (credentials === undefined) return { credentials, from, searched, problems };
  const kind = credentials.kind === 'basic' ? 'password' : credentials.kind;
  const username = credentials.kind === 'registry-token' ? undefined : credentials.username;
  return { credentials: { kind, ...(username !== undefined && { username }) }, from, searched, problems };
}

/** Removes the credentials for a registry. */
export async function logout(
  registry: string,
  options: Pick<QueryOptions, 'endpoint' | 'env' | 'onWarning' | 'signal'> = {},
): Promise<LogoutResult> {
  const host = parseRegistry(registry);
  const { env = process.env, endpoint, onWarning, signal } = options;
  const { removeCredentials } = await import('../auth/store-credentials.ts');
  const removedFrom = await removeCredentials({
    registry: host,
    authFile: endpoint?.authFile,
    env,
    homeDir: homeDirectory(),
    onWarning,
    signal,
  });
  return { registry: host, removedFrom };
}

/** Shows the credentials to the registry, if it wants to see any. @returns whether it did. */
async function isAsked(endpoint: Endpoint, search: CredentialSearch, open: OpenOptions): Promise<boolean> {
  let asked = false;
  const [access, { pingRegistry }] = await Promise.all([
    open.access(),
    import('../transports/registry/ping-registry.ts'),
  ]);
  const reached = await access.reach(endpoint.address.registry, {
    ...endpoint,
    observer: open.observer,
    signal: open.signal,
    side: 'source',
    scopes: [],
    credentials: {
      find: () => {
        asked = true;
        return Promise.resolve(search);
      },
      areAtHand: () => Promise.resolve(search.credentials !== undefined),
    },
  });
  await pingRegistry(reached, { signal: open.signal });
  return asked;
}

/** A registry, or (with a repository that is not empty) a repository of it. */
function parsePlace(text: string): RepositoryName {
  const path = withoutScheme(text);
  return path.includes('/') ? parseRegistryReference(path, text) : registryAlone(parseRegistry(text));
}

function registryAlone(registry: string): RepositoryName {
  return { registry, repository: '' };
}

function parseRegistry(text: string): string {
  const host = withoutScheme(text);
  const reference = host.includes('/') || host === '' ? undefined : parseRegistryReference(`${host}/name`, text);
  // Docker Hub puts library/ before the name; a text that is no host has become a part of it.
  if (reference !== undefined && /^(?:library\/)?name$/.test(reference.repository)) return reference.registry;
  throw new ImgcopyError(`${JSON.stringify(text)} is not a registry; expected HOST[:PORT]`, {
    code: 'ERR_INVALID_REGISTRY',
    kind: 'usage',
    hint: 'a host has a dot or a port in its name, or is localhost; Docker Hub is docker.io',
  });
}

function withoutScheme(text: string): string {
  return text.replace(/^(?:https?|docker):\/\//, '').replace(/\/$/, '');
}
