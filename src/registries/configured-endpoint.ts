import type { CertificateFiles } from '../http/connect/trust.ts';
import type { RepositoryName } from '../contract/image-source.ts';
import type { RegistryReference } from '../reference/registry-reference.ts';

/** An address that this machine's configuration names for an image. */
export interface ConfiguredEndpoint {
  readonly address: RepositoryName;
  /** Whether it stands beside the image's own registry. */
  readonly isMirror: boolean;
  /** Whether certificates are not checked, and http is allowed. */
  readonly insecure: boolean;
  /** http, without trying https. Default false. */
  readonly plainHttp?: boolean | undefined;
  /** False: it is asked by digest alone, for it is not trusted to say what a tag means. Default true. */
  readonly resolvesTags?: boolean | undefined;
  /** The path of its API. Default `/v2`. */
  readonly apiRoot?: string | undefined;
  /** The registry of the image's name, told with each request as `ns`. */
  readonly namespace?: string | undefined;
  /** In place of what certs.d has for it. */
  readonly certificates?: CertificateFiles | undefined;
  /** A directory in the form of docker's certs.d, in place of those that are searched by its name. */
  readonly certDir?: string | undefined;
}

/** What this machine's configuration says of registries. */
export interface RegistryConfiguration {
  /**
   * Where an image may be read, in this order; at least one.
   * @throws ImgcopyError ERR_REGISTRY_BLOCKED, or of kind `usage` where the configuration is invalid.
   */
  endpointsToRead(reference: RegistryReference): readonly [ConfiguredEndpoint, ...ConfiguredEndpoint[]];
  /** Where an image is written: the address of its name. @throws as `endpointsToRead`. */
  endpointToWrite(reference: RegistryReference): ConfiguredEndpoint;
  /** Who is asked for credentials, in this order; `containers-auth.json` stands for the auth files. Undefined: these alone. */
  readonly credentialHelpers: readonly string[] | undefined;
}

/** Where there is no configuration, a name is its own address. */
export const NO_CONFIGURATION: RegistryConfiguration = {
  endpointsToRead: (reference) => [ownAddress(reference)],
  endpointToWrite: ownAddress,
  credentialHelpers: undefined,
};

function ownAddress({ registry, repository }: RegistryReference): ConfiguredEndpoint {
  return { address: { registry, repository }, isMirror: false, insecure: false };
}
