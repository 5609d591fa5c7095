import { dirname, resolve } from 'node:path';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { quote } from '../errors/printable.ts';
import type { CertificateFiles } from '../http/connect/trust.ts';
import { fieldOf, isTable, lineOf, parseToml, type Table, type TomlSource } from './toml-text.ts';

/** A server that a hosts.toml names. */
export interface HostsEntry {
  /** `host[:port]`; undefined: that of the image's name. */
  readonly host: string | undefined;
  /** Whether it is reached by http. */
  readonly plainHttp: boolean;
  /** The path of its API. */
  readonly apiRoot: string;
  /** Undefined: the file does not say. */
  readonly skipVerify: boolean | undefined;
  readonly canPull: boolean;
  readonly canResolve: boolean;
  /** Undefined: the file names none. */
  readonly certificates: CertificateFiles | undefined;
}

/** What a hosts.toml says. */
export interface HostsToml {
  /** In the order of the file. */
  readonly mirrors: readonly HostsEntry[];
  readonly server: HostsEntry;
}

/** A hosts.toml that cannot be used. */
export class HostsTomlError extends ImgcopyError {
  constructor(origin: string, problem: string, options: { readonly cause?: unknown } = {}) {
    super(`${origin}: ${problem}`, {
      code: 'ERR_HOSTS_TOML',
      kind: 'usage',
      hint: 'correct the file, or leave out --hosts-dir',
      ...options,
    });
  }
}

/**
 * Reads containerd's hosts.toml. Headers and time limits are ignored, and so are unknown fields.
 *
 * @throws HostsTomlError
 * @see https://github.com/containerd/containerd/blob/main/docs/hosts.md
 */
export function parseHostsToml(source: TomlSource): HostsToml {
  const content = parseToml(source, ({ line, problem }) => new HostsTomlError(`${source.file}:${line}`, problem));
  const hosts = fieldOf(content, 'host') ?? {};
  if (!isTable(hosts)) throw faultAt(source, /^\s*\[?\s*host/, 'host is not a table: write [host."https://…"]');
  const mirrors = Object.entries(hosts).map(([url, table]) => {
    if (!isTable(table)) throw faultAt(source, url, `host ${quote(url)} is not a table`);
    return readEntry(source, table, url);
  });
  const server = fieldOf(content, 'server') ?? '';
  if (typeof server !== 'string') throw faultAt(source, 'server', 'server is not a string');
  return { mirrors, server: readEntry(source, content, server) };
}

function readEntry(source: TomlSource, table: Table, url: string): HostsEntry {
  const override = flag(source, table, 'override_path') ?? false;
  const skipVerify = flag(source, table, 'skip_verify');
  const authorities = pathsOf(source, table, 'ca');
  const clients = clientsOf(source, table);
  const hasCertificates = authorities.length + clients.length > 0;
  const capabilities = capabilitiesOf(source, table);
  return {
    ...addressOf(source, url, override),
    skipVerify,
    canPull: capabilities.includes('pull'),
    canResolve: capabilities.includes('resolve'),
    certificates: hasCertificates ? { authorities, clients } : undefined,
  };
}

function addressOf(
  source: TomlSource,
  text: string,
  override: boolean,
): Pick<HostsEntry, 'host' | 'plainHttp' | 'apiRoot'> {
  if (text === '') return { host: undefined, plainHttp: false, apiRoot: '/v2' };
  const url = URL.parse(text.includes('://') ? text : `https://${text}`);
  if (url === null || !/^https?:$/.test(url.protocol) || url.host === '' || url.username !== '' || url.search !== '')
    throw faultAt(source, text, `${quote(text)} is not the URL of a registry`);
  const path = url.pathname.replace(/\/+$/, '');
  const apiRoot = override || path.endsWith('/v2') ? path : `${path}/v2`;
  return { host: url.host, plainHttp: url.protocol === 'http:', apiRoot };
}

const CAPABILITIES = ['pull', 'resolve', 'push', 'referrers'];

function capabilitiesOf(source: TomlSource, table: Table): readonly string[] {
  const given = fieldOf(table, 'capabilities') ?? [];
  if (!Array.isArray(given) || !given.every((one) => typeof one === 'string'))
    throw faultAt(source, 'capabilities', 'capabilities is not a list of strings');
  const names = given.map((name) => name.toLowerCase());
  const unknown = names.find((name) => !CAPABILITIES.includes(name));
  if (unknown !== undefined)
    throw faultAt(source, /capabilities/, `unknown capability ${quote(unknown)}: expected ${CAPABILITIES.join(', ')}`);
  return names.length === 0 ? CAPABILITIES : names;
}

function pathsOf(source: TomlSource, table: Table, name: string): readonly string[] {
  const value = fieldOf(table, name) ?? [];
  const paths: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (!paths.every((path) => typeof path === 'string'))
    throw faultAt(source, name, `${name} is neither a path nor a list of paths`);
  return paths.map((path) => absolute(source, path));
}

/** A file with certificate and key, a list of such files, or a list of pairs of files. */
function clientsOf(source: TomlSource, table: Table): CertificateFiles['clients'] {
  const value = fieldOf(table, 'client') ?? [];
  const entries: readonly unknown[] = Array.isArray(value) ? value : [value];
  return entries.map((entry) => {
    const pair: readonly unknown[] = Array.isArray(entry) ? entry : [entry, ''];
    const [cert, key] = pair;
    if (typeof cert !== 'string' || typeof key !== 'string' || cert === '' || pair.length !== 2)
      throw faultAt(source, 'client', 'client is neither a path, nor a list of paths, nor one of pairs of paths');
    return { cert: absolute(source, cert), key: absolute(source, key || cert) };
  });
}

function flag(source: TomlSource, table: Table, name: string): boolean | undefined {
  const value = fieldOf(table, name);
  if (value === undefined || typeof value === 'boolean') return value;
  throw faultAt(source, name, `${name} is neither true nor false`);
}

/** Paths are relative to the file. */
function absolute({ file }: TomlSource, path: string): string {
  return resolve(dirname(file), path);
}

function faultAt({ file, text }: TomlSource, wanted: string | RegExp, problem: string): HostsTomlError {
  return new HostsTomlError(`${file}:${lineOf(text, wanted)}`, problem);
}
