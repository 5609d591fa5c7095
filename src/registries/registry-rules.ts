import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { quote } from '../errors/printable.ts';
import { repositoryText, type RepositoryName } from '../contract/image-source.ts';
import { parseRegistryReference, type RegistryReference } from '../reference/registry-reference.ts';
import type { ConfiguredEndpoint, RegistryConfiguration } from './configured-endpoint.ts';
import { RegistriesConfError, type RegistriesConf, type RegistryRule } from './registries-conf.ts';

/** The rules of several files together: a later file replaces the tables of an earlier one that have the same prefix. */
export function mergeConfs(confs: readonly RegistriesConf[]): RegistryRules {
  const rules = confs.flatMap((conf) => conf.rules).map((rule) => [rule.prefix, rule] as const);
  const helpers = confs.flatMap((conf) => (conf.credentialHelpers === undefined ? [] : [conf.credentialHelpers]));
  return new RegistryRules(new Map(rules), helpers.at(-1));
}

/**
 * Finds the endpoints of a name as containers/image does. One rule applies, that with the longest prefix; a mirror is not looked up again, so
 * mirrors cannot form a loop.
 */
export class RegistryRules implements RegistryConfiguration {
  readonly #rules: ReadonlyMap<string, RegistryRule>;
  readonly #helpers: readonly string[] | undefined;

  /** @param rules  by their prefixes. */
  constructor(rules: ReadonlyMap<string, RegistryRule>, credentialHelpers?: readonly string[]) {
    this.#rules = rules;
    this.#helpers = credentialHelpers;
  }

  get credentialHelpers(): readonly string[] | undefined {
    return this.#helpers === undefined || this.#helpers.length === 0 ? undefined : this.#helpers;
  }

  endpointsToRead(reference: RegistryReference): readonly [ConfiguredEndpoint, ...ConfiguredEndpoint[]] {
    const name = repositoryText(reference);
    const match = this.#find(name);
    if (match === undefined) return [ownAddress(reference, undefined)];
    const { rule } = match;
    refuseBlocked(reference, rule);
    const kind = reference.digest === undefined ? 'tag-only' : 'digest-only';
    const mirrors = rule.mirrors
      .filter(({ pullFrom }) => pullFrom === 'all' || pullFrom === kind)
      .map((mirror) => ({
        address: rewritten(name, match, mirror.location),
        isMirror: true,
        insecure: mirror.insecure,
      }));
    const own =
      rule.location === ''
        ? ownAddress(reference, rule)
        : { address: rewritten(name, match, rule.location), isMirror: false, insecure: rule.insecure };
    const ruleOf = ({ address }: ConfiguredEndpoint): RegistryRule | undefined =>
      this.#find(repositoryText(address))?.rule;
    const [first, ...others] = [...mirrors, own].filter((endpoint) => !ruleOf(endpoint)?.blocked);
    if (first !== undefined) return [first, ...others];
    throw blocked(reference, ruleOf(own) ?? rule);
  }

  endpointToWrite(reference: RegistryReference): ConfiguredEndpoint {
    const rule = this.#find(repositoryText(reference))?.rule;
    if (rule !== undefined) refuseBlocked(reference, rule);
    return ownAddress(reference, rule);
  }

  /** A few look-ups, whatever the number of rules. */
  #find(name: string): Match | undefined {
    for (const { prefix, matched } of prefixesOf(name)) {
      const rule = this.#rules.get(prefix);
      if (rule !== undefined) return { rule, matched };
    }
    return undefined;
  }
}

interface Match {
  readonly rule: RegistryRule;
  /** How much of the name the prefix stands for, in characters. */
  readonly matched: number;
}

/** All prefixes that a name may have, the longest first; of two of one length, the wildcard. */
function prefixesOf(name: string): readonly { readonly prefix: string; readonly matched: number }[] {
  const plain = [...name.matchAll(/[:/]|$/g)].map(({ index }) => ({ prefix: name.slice(0, index), matched: index }));
  const host = /^[^:/]*/.exec(name)?.[0] ?? '';
  const wild = [...host.matchAll(/\./g)].map(({ index }) => ({
    prefix: `*${host.slice(index)}`,
    matched: host.length,
  }));
  return [...wild, ...plain].toSorted((one, other) => other.prefix.length - one.prefix.length);
}

function ownAddress({ registry, repository }: RepositoryName, rule: RegistryRule | undefined): ConfiguredEndpoint {
  return { address: { registry, repository }, isMirror: false, insecure: rule?.insecure ?? false };
}

function rewritten(name: string, { rule, matched }: Match, location: string): RepositoryName {
  const text = `${location}${name.slice(matched)}`;
  const { registry, repository, tag, digest } = readName(text, rule);
  const isHub = /^(?:index\.)?docker\.io\//.test(text);
  if ((registry === 'docker.io' && !isHub) || tag !== undefined || digest !== undefined)
    throw unusable(rule, location, `it makes ${quote(name)} ${quote(text)}, which is not HOST[:PORT]/NAME`);
  return { registry, repository };
}

function readName(text: string, rule: RegistryRule): RegistryReference {
  try {
    return parseRegistryReference(text, text);
  } catch (error) {
    throw unusable(rule, text, 'it is not a valid name', error);
  }
}

function unusable({ origin }: RegistryRule, location: string, why: string, cause?: unknown): RegistriesConfError {
  return new RegistriesConfError(origin, `the location ${quote(location)} cannot be used: ${why}`, { cause });
}

function refuseBlocked(reference: RegistryReference, rule: RegistryRule): void {
  if (rule.blocked) throw blocked(reference, rule);
}

function blocked(reference: RegistryReference, { prefix, origin }: RegistryRule): ImgcopyError {
  return new ImgcopyError(`${repositoryText(reference)} is blocked: ${origin} has blocked = true for ${prefix}`, {
    code: 'ERR_REGISTRY_BLOCKED',
    kind: 'denied',
    hint: 'ask whoever maintains that file; --no-registries-conf runs without it',
  });
}
