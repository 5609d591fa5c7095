import { artifactory } from './artifactory.ts';
import { azure } from './azure.ts';
import { dockerHub } from './docker-hub.ts';
import { ecr } from './ecr.ts';
import { ghcr } from './ghcr.ts';
import { gitlab } from './gitlab.ts';
import { googleArtifactRegistry } from './google-artifact-registry.ts';
import { harbor } from './harbor.ts';
import { nexus } from './nexus.ts';
import { ecrPublic, kubernetes, microsoft } from './public-sources.ts';
import { quay } from './quay.ts';
import type { HostedShape } from './shape.ts';

export type { HostedShape } from './shape.ts';

/** Registries that users push to. */
export const hostedRegistries: readonly HostedShape[] = [
  dockerHub,
  ecr,
  ghcr,
  googleArtifactRegistry,
  azure,
  quay,
  harbor,
  gitlab,
  artifactory,
  nexus,
];

/** Registries that are only read. */
export const publicSources: readonly HostedShape[] = [ecrPublic, kubernetes, microsoft];
