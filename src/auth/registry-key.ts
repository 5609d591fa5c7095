/** The key that docker keeps the credentials for Docker Hub under, in its config file and in its credential store. */
const DOCKER_HUB_KEY = 'https://index.docker.io/v1/';

const DOCKER_HUB_HOSTS: ReadonlySet<string> = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/** One name for each registry: the three hosts of Docker Hub are `docker.io`, any other is itself. */
export function canonicalRegistry(host: string): string {
  return DOCKER_HUB_HOSTS.has(host) ? 'docker.io' : host;
}

/** The name that docker gives a registry where it keeps credentials. */
export function dockerServerName(registry: string): string {
  return canonicalRegistry(registry) === 'docker.io' ? DOCKER_HUB_KEY : registry;
}

/**
 * The registry that a key of an auth file means, where the key is a host or a URL: `host`, `host/`, `host/v2/`, `https://host/v1/`.
 * Another path without a scheme is a namespace: it comes back with its path, and so equals no registry.
 */
export function registryOfKey(key: string, options: { readonly ignorePath?: boolean | undefined } = {}): string {
  const address = key.replace(/^https?:\/\//, '');
  const hasNoNamespace = address !== key || options.ignorePath === true;
  return canonicalRegistry(address.replace(hasNoNamespace ? /\/.*$/s : /(?:\/v[12])?\/+$/, ''));
}

/** The keys that an image's credentials may stand under, the most specific first: `host/ns/repo`, `host/ns`, `host`. */
export function authKeys(registry: string, repository: string | undefined): readonly string[] {
  const keys = [];
  let key = repository === undefined || repository === '' ? registry : `${registry}/${repository}`;
  for (; key.length > registry.length; key = key.slice(0, key.lastIndexOf('/'))) keys.push(key);
  return [...keys, registry];
}
