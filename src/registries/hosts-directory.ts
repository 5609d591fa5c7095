import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ImgcopyError, systemErrorCode } from '../errors/imgcopy-error.ts';
import { apiHost } from '../reference/registry-host.ts';
import type { RegistryReference } from '../reference/registry-reference.ts';
import { NO_CONFIGURATION, type ConfiguredEndpoint, type RegistryConfiguration } from './configured-endpoint.ts';
import { HostsTomlError, parseHostsToml, type HostsEntry, type HostsToml } from './hosts-toml.ts';

/** What containerd's configuration says of registries: a directory with one of `HOST_PORT_`, `HOST:PORT` or `_default` for each, and a hosts.toml in it. */
export class HostsDirectory implements RegistryConfiguration {
  readonly #root: string;
  readonly #read = new Map<string, HostsToml | undefined>();
  readonly credentialHelpers: undefined;

  /** @throws ImgcopyError ERR_HOSTS_TOML where the directory does not exist. */
  constructor(root: string) {
    if (!existsSync(root)) {
      throw new ImgcopyError(`--hosts-dir names ${root}, which does not exist`, {
        code: 'ERR_HOSTS_TOML',
        kind: 'usage',
        hint: 'name the directory that holds a directory for each registry, such as /etc/containerd/certs.d',
      });
    }
    this.#root = root;
  }

  endpointsToRead(reference: RegistryReference): readonly [ConfiguredEndpoint, ...ConfiguredEndpoint[]] {
    const directory = this.#directoryOf(reference.registry);
    const hosts = directory === undefined ? undefined : this.#hostsIn(directory);
    if (directory === undefined || hosts === undefined) return [this.#withCertificates(reference, directory)];
    const server = endpointAt(reference, hosts.server, { isMirror: false });
    const mirrors = hosts.mirrors
      .filter(({ canPull }) => canPull)
      .map((mirror) => endpointAt(reference, mirror, { isMirror: true }));
    const [first, ...others] = [...mirrors, ...(hosts.server.canPull ? [server] : [])];
    const canBegin = reference.digest !== undefined || [first, ...others].some((one) => one?.resolvesTags);
    if (first !== undefined && canBegin) return [first, ...others];
    const lacking = first === undefined ? 'pull' : 'resolve';
    throw new HostsTomlError(join(directory, 'hosts.toml'), `no host has the capability ${lacking}`);
  }

  /** The registry of the name, which mirrors do not stand in for. What the file says of certificates holds where it is the `server`. */
  endpointToWrite(reference: RegistryReference): ConfiguredEndpoint {
    const directory = this.#directoryOf(reference.registry);
    const server = directory === undefined ? undefined : this.#hostsIn(directory)?.server;
    if (server === undefined) return this.#withCertificates(reference, directory);
    const isItself =
      server.host === undefined || server.host === new URL(`https://${apiHost(reference.registry)}`).host;
    const entry: HostsEntry = isItself ? { ...server, host: undefined, apiRoot: '/v2' } : PLAIN;
    return endpointAt(reference, entry, { isMirror: false });
  }

  /** Without a hosts.toml, a directory may hold certificates as in docker's certs.d. */
  #withCertificates(reference: RegistryReference, directory: string | undefined): ConfiguredEndpoint {
    const own = NO_CONFIGURATION.endpointToWrite(reference);
    return directory === undefined ? own : { ...own, certDir: directory };
  }

  #directoryOf(registry: string): string | undefined {
    const names = [registry.replace(/:(\d+)$/, '_$1_'), registry, '_default'];
    return names.map((name) => join(this.#root, name)).find((path) => existsSync(path));
  }

  #hostsIn(directory: string): HostsToml | undefined {
    if (!this.#read.has(directory)) this.#read.set(directory, readHostsToml(join(directory, 'hosts.toml')));
    return this.#read.get(directory);
  }
}

const PLAIN: HostsEntry = {
  host: undefined,
  plainHttp: false,
  apiRoot: '/v2',
  skipVerify: undefined,
  canPull: true,
  canResolve: true,
  certificates: undefined,
};

function endpointAt(
  { registry, repository }: RegistryReference,
  { host, plainHttp, apiRoot, skipVerify = false, canResolve, certificates }: HostsEntry,
  { isMirror }: { readonly isMirror: boolean },
): ConfiguredEndpoint {
  const isItself = host === undefined || host === new URL(`https://${apiHost(registry)}`).host;
  return {
    address: { registry: isItself ? registry : host, repository },
    isMirror,
    // Where the certificate does not count, what is called http may speak TLS.
    insecure: skipVerify,
    plainHttp: plainHttp && !skipVerify,
    resolvesTags: canResolve,
    apiRoot,
    ...(!isItself && { namespace: registry }),
    certificates,
  };
}

function readHostsToml(file: string): HostsToml | undefined {
  try {
    return parseHostsToml({ file, text: readFileSync(file, 'utf8') });
  } catch (error) {
    const code = error instanceof ImgcopyError ? undefined : systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    if (code === undefined) throw error;
    throw new HostsTomlError(file, `cannot be read (${code})`, { cause: error });
  }
}
