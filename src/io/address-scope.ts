import { BlockList, isIPv4 } from 'node:net';

/** Whom an address can be reached by: this machine, this link (cloud metadata services live there), this network. */
export type AddressScope = 'loopback' | 'link-local' | 'private';

/**
 * The scope of a host that is written as an address; undefined for public addresses and for names, which are not looked up. `localhost` is the
 * one name that always means an address.
 *
 * @param hostname  as `URL` has it: lower case, IPv4 with four decimal numbers, IPv6 in brackets.
 */
export function addressScope(hostname: string): AddressScope | undefined {
  if (/^(?:.+\.)?localhost\.?$/.test(hostname)) return 'loopback';
  const address = hostname.replace(/^\[|\]$/g, '');
  const family = familyOf(address);
  if (family === 'ipv4' && !isIPv4(address)) return undefined;
  scopes ??= readScopes();
  return scopes.find(([, list]) => list.check(address, family))?.[0];
}

type Scopes = readonly (readonly [AddressScope, BlockList])[];

/** Made when it is first wanted: that takes a millisecond and more, and few copies want it. */
let scopes: Scopes | undefined;

/** https://www.iana.org/assignments/iana-ipv4-special-registry and its IPv6 sibling; `0.0.0.0` and `::` reach this machine. */
function readScopes(): Scopes {
  return [
    ['loopback', networks(['127.0.0.0', 8], ['0.0.0.0', 8], ['::1', 128], ['::', 128])],
    ['link-local', networks(['169.254.0.0', 16], ['fe80::', 10], ['fd00:ec2::254', 128])],
    ['private', networks(['10.0.0.0', 8], ['172.16.0.0', 12], ['192.168.0.0', 16], ['100.64.0.0', 10], ['fc00::', 7])],
  ];
}

function networks(...ranges: readonly (readonly [address: string, prefix: number])[]): BlockList {
  const list = new BlockList();
  for (const [address, prefix] of ranges) list.addSubnet(address, prefix, familyOf(address));
  return list;
}

/** Of an address, or a name, that is in a URL. Node's isIPv6 takes 3 ms to make its pattern. */
function familyOf(address: string): 'ipv4' | 'ipv6' {
  return address.includes(':') ? 'ipv6' : 'ipv4';
}
