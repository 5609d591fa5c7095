import { BlockList, isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** A proxy, and how it is spoken to. */
export interface Proxy {
  /** `socks5`: it resolves the server's name, for `socks5h` and, as in Go's net/http, for `socks5`. */
  readonly scheme: 'http' | 'https' | 'socks5';
  readonly hostname: string;
  readonly port: string;
  readonly user: { readonly name: string; readonly password: string } | undefined;
  /** For messages: the URL without user and password, and the variable that names it. */
  readonly text: string;
}

/** Which proxy leads to a URL; undefined: none. */
export type ProxyFor = (url: Pick<URL, 'protocol' | 'hostname' | 'port'>) => Proxy | undefined;

const PORTS: Readonly<Record<string, string>> = {
  'http:': '80',
  'https:': '443',
  'socks5:': '1080',
  'socks5h:': '1080',
};

/**
 * Chooses proxies by HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in lower case or capitals, as Go's programs do.
 * @see https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config
 * @throws ImgcopyError of kind `usage`, when it is asked for a URL whose proxy cannot be used.
 */
export function proxiesOf(env: Env): ProxyFor {
  const noProxy = parseNoProxy(either(env, 'NO_PROXY')?.value ?? '');
  return (url) => {
    const named = either(env, url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY');
    if (named === undefined || isExcluded(noProxy, url)) return undefined;
    if (url.protocol === 'http:' && env['REQUEST_METHOD'])
      throw invalid(named.name, 'in a CGI program a client may have set it; see https://go.dev/s/cgihttpproxy');
    return parseProxy(named);
  };
}

interface Named {
  readonly name: string;
  readonly value: string;
}

function either(env: Env, name: string): Named | undefined {
  return [name.toLowerCase(), name]
    .map((key) => ({ name: key, value: env[key] ?? '' }))
    .find(({ value }) => value !== '');
}

function parseProxy({ name, value }: Named): Proxy {
  // HOST:PORT would be a URL with the scheme HOST.
  const url = URL.parse(value.includes('://') ? value : `http://${value}`);
  if (url === null || url.hostname === '') throw invalid(name, 'it is not a URL');
  const { protocol, hostname, username, password } = url;
  const port = PORTS[protocol];
  if (port === undefined) throw invalid(name, `proxies by ${protocol}// are not supported`);
  const host = hostname.replace(/^\[|\]$/g, '');
  return {
    scheme: protocol === 'http:' ? 'http' : protocol === 'https:' ? 'https' : 'socks5',
    hostname: host,
    port: url.port || port,
    user: username === '' ? undefined : { name: decoded(username), password: decoded(password) },
    text: `${protocol}//${hostname}:${url.port || port} (${name})`,
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function invalid(variable: string, why: string): ImgcopyError {
  return new ImgcopyError(`${variable} cannot be used as a proxy: ${why}`, {
    code: 'ERR_PROXY',
    kind: 'usage',
    hint: 'write it as [SCHEME://][USER:PASSWORD@]HOST[:PORT], where the scheme is http, https, socks5 or socks5h',
  });
}

interface Addresses {
  readonly list: BlockList;
  /** Undefined: every port. */
  readonly port: string | undefined;
}

interface Domain {
  /** With a dot in front. */
  readonly suffix: string;
  /** Whether the domain itself is meant as well as what is below it. */
  readonly isMeant: boolean;
  readonly port: string | undefined;
}

interface NoProxy {
  readonly all: boolean;
  readonly addresses: readonly Addresses[];
  readonly domains: readonly Domain[];
}

function isExcluded(noProxy: NoProxy, { protocol, hostname, port: given }: Parameters<ProxyFor>[0]): boolean {
  const host = hostname.toLowerCase().replace(/^\[|\]$/g, '');
  const port = given || PORTS[protocol];
  const fits = (wanted: string | undefined): boolean => wanted === undefined || wanted === port;
  if (host === 'localhost' || noProxy.all) return true;
  const family = familyOf(host);
  if (family !== undefined)
    return (
      LOOPBACK.check(host, family) || noProxy.addresses.some((one) => one.list.check(host, family) && fits(one.port))
    );
  return noProxy.domains.some(
    ({ suffix, isMeant, port: wanted }) =>
      fits(wanted) && (host.endsWith(suffix) || (isMeant && host === suffix.slice(1))),
  );
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

function parseNoProxy(text: string): NoProxy {
  const addresses: Addresses[] = [];
  const domains: Domain[] = [];
  const entries = text
    .toLowerCase()
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
  for (const entry of entries) {
    const network = networkOf(entry);
    if (network !== undefined) {
      addresses.push({ list: network, port: undefined });
      continue;
    }
    const { host, port } = splitPort(entry);
    const list = addressOf(host);
    if (list !== undefined) addresses.push({ list, port });
    else if (host !== '') domains.push(domainOf(host, port));
  }
  return { all: entries.includes('*'), addresses, domains };
}

function networkOf(entry: string): BlockList | undefined {
  const [, address = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(entry) ?? [];
  const family = familyOf(address);
  if (family === undefined || Number(bits) > (family === 'ipv4' ? 32 : 128)) return undefined;
  const list = new BlockList();
  list.addSubnet(address, Number(bits), family);
  return list;
}

function addressOf(host: string): BlockList | undefined {
  const family = familyOf(host);
  if (family === undefined) return undefined;
  const list = new BlockList();
  list.addAddress(host, family);
  return list;
}

/** `host`, `host:port`, `[::1]:port`; an IPv6 address without brackets has no port. */
function splitPort(entry: string): { readonly host: string; readonly port: string | undefined } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:]*))(?::([^:]*))?$/.exec(entry) ?? [];
  return { host: bracketed ?? plain ?? entry, port: port === '' ? undefined : port };
}

/** `.y.test` and `*.y.test` mean what is below y.test; `y.test` means that and itself. */
function domainOf(host: string, port: string | undefined): Domain {
  const name = host.replace(/^\*(?=\.)/, '');
  const isMeant = !name.startsWith('.');
  const suffix = isMeant ? `.${name}` : name;
  // Only a name in other letters has to be written in ASCII; what cannot be is left as it is.
  return {
    suffix: domainToASCII(suffix.slice(1)) === '' ? suffix : `.${domainToASCII(suffix.slice(1))}`,
    isMeant,
    port,
  };
}

function familyOf(host: string): 'ipv4' | 'ipv6' | undefined {
  const version = isIP(host);
  return version === 0 ? undefined : version === 4 ? 'ipv4' : 'ipv6';
}
