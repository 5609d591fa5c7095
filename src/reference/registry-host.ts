/**
 * Whether a registry is on this machine, as far as its name says: `localhost`, 127.0.0.0/8 or `[::1]`, with or without a port.
 *
 * @param registry  `host[:port]`.
 */
export function isLoopbackHost(registry: string): boolean {
  if (!URL.canParse(`https://${registry}/`)) return false;
  // A URL writes an address in its one short form: [0:0::1] becomes [::1], 127.1 becomes 127.0.0.1.
  const { hostname } = new URL(`https://${registry}/`);
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

/**
 * The host that answers a registry's API: Docker Hub's is not the one in its references.
 *
 * @param registry  `host[:port]`, as in RegistryReference.
 */
export function apiHost(registry: string): string {
  return registry === 'docker.io' ? 'registry-1.docker.io' : registry;
}
