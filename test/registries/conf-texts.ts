import { parseRegistryReference } from '../../src/reference/registry-reference.ts';
import { mergeConfs, type RegistryRules } from '../../src/registries/registry-rules.ts';
import { parseRegistriesConf } from '../../src/registries/registries-conf.ts';
import type { RegistryConfiguration } from '../../src/registries/configured-endpoint.ts';

/** The rules of files with these texts: `1.conf`, `2.conf` … */
export function rulesOf(...texts: readonly string[]): RegistryRules {
  return mergeConfs(texts.map((text, index) => parseRegistriesConf({ file: `${index + 1}.conf`, text })));
}

/** Where an image is read, in order: `host/name`, with `, insecure` after it where that is so. */
export function readFrom(rules: RegistryConfiguration, name: string): readonly string[] {
  return rules
    .endpointsToRead(parseRegistryReference(name, name))
    .map(({ address, insecure }) => `${address.registry}/${address.repository}${insecure ? ', insecure' : ''}`);
}

export function writtenTo(rules: RegistryConfiguration, name: string): string {
  const { address, insecure } = rules.endpointToWrite(parseRegistryReference(name, name));
  return `${address.registry}/${address.repository}${insecure ? ', insecure' : ''}`;
}
