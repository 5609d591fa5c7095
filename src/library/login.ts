import { NO_CREDENTIALS } from '../auth/credential-search.ts';
import type { BasicCredentials } from '../auth/credentials.ts';
import { duringOperation, ImgcopyError } from '../errors/imgcopy-error.ts';
import type { QueryOptions } from './options.ts';
import { openOptions } from './questions.ts';
import { homeDirectory } from '../io/home-directory.ts';
import { SharedResources } from './shared-resources.ts';
import { parseRegistryReference } from '../reference/registry-reference.ts';
import { registryEndpoint } from '../transports/registry/registry-endpoint.ts';

export interface LoginResult {
  /** `host[:port]`; Docker Hub is docker.io. */
  readonly registry: string;
  /** The file or credential helper that has the credentials now. */
  readonly storedIn: string;
  /** False where the registry let everybody in, and so said nothing of the credentials. */
  readonly checked: boolean;
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
    const checked = await isAsked(host, credentials, { shared, options });
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
async function isAsked(
  registry: string,
  credentials: BasicCredentials,
  { shared, options }: { readonly shared: SharedResources; readonly options: QueryOptions },
): Promise<boolean> {
  let asked = false;
  const open = openOptions(shared, options);
  const [access, { pingRegistry }] = await Promise.all([
    shared.access(),
    import('../transports/registry/ping-registry.ts'),
  ]);
  const endpoint = registryEndpoint({ registry }, open);
  const reached = await access.reach(registry, {
    ...endpoint,
    observer: open.observer,
    signal: open.signal,
    side: 'source',
    scopes: [],
    credentials: {
      find: () => {
        asked = true;
        return Promise.resolve({ ...NO_CREDENTIALS, credentials, isGiven: true });
      },
      areAtHand: () => Promise.resolve(true),
    },
  });
  await pingRegistry(reached, { signal: open.signal });
  return asked;
}

function parseRegistry(text: string): string {
  const host = text.replace(/^(?:https?|docker):\/\//, '').replace(/\/$/, '');
  const reference = host.includes('/') || host === '' ? undefined : parseRegistryReference(`${host}/name`, text);
  // Docker Hub puts library/ before the name; a text that is no host has become a part of it.
  if (reference !== undefined && /^(?:library\/)?name$/.test(reference.repository)) return reference.registry;
  throw new ImgcopyError(`${JSON.stringify(text)} is not a registry; expected HOST[:PORT]`, {
    code: 'ERR_INVALID_REGISTRY',
    kind: 'usage',
    hint: 'a host has a dot or a port in its name, or is localhost; Docker Hub is docker.io',
  });
}
