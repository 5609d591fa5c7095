import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { noCache } from '../../src/cache/no-cache.ts';
import type { UploadState } from '../../src/cache/upload-state.ts';
import { digestOf } from '../../src/digest/digest.ts';
import { DEFAULT_RETRY_POLICY, type RetryPolicy } from '../../src/retry/attempts.ts';
import { parseRegistryReference, type RegistryReference } from '../../src/reference/registry-reference.ts';
import { RegistryClient } from '../../src/transports/registry/client.ts';
import {
  RegistryAccess,
  type ReachOptions,
  type RegistryEndpoint,
} from '../../src/transports/registry/registry-access.ts';
import {
  openRegistryDestination,
  type RegistryDestination,
  type RegistryDestinationOptions,
} from '../../src/transports/registry/registry-destination.ts';
import type { Endpoint } from '../../src/transports/registry/registry-endpoint.ts';
import { openRegistrySource, type RegistrySource } from '../../src/transports/registry/registry-source.ts';
import type { BlobInfo } from '../../src/contract/blob-info.ts';
import type { BlobInfoCache, HostAbility } from '../../src/contract/blob-info-cache.ts';
import type { TestRegistry } from './registry.ts';

/** Retries as a run has them, without the waiting. */
export const hastyPolicy: RetryPolicy = { ...DEFAULT_RETRY_POLICY, random: () => 1, sleep: () => nextTurn() };

export interface TestAccessOptions {
  readonly policy?: Partial<RetryPolicy> | undefined;
  /** Default 16. */
  readonly jobs?: number | undefined;
  /** Default 10,000. */
  readonly idleTimeoutMs?: number | undefined;
  /** Bytes a second that a source has to give. Default: none. */
  readonly minRate?: number | undefined;
  /** A clock, in ms. */
  readonly now?: (() => number) | undefined;
  /** Default: no upload is noted. */
  readonly uploadState?: UploadState | undefined;
}

const noUploads: UploadState = {
  remember: () => false,
  find: () => undefined,
  claim: () => undefined,
  leave: () => false,
  forget: () => undefined,
  [Symbol.dispose]: () => undefined,
};

/** The way to all registries of a test. To be disposed of. */
export function openAccess(options: TestAccessOptions = {}): RegistryAccess {
  return new RegistryAccess({
    policy: { ...hastyPolicy, ...options.policy },
    idleTimeoutMs: options.idleTimeoutMs ?? 10_000,
    minRate: options.minRate,
    now: options.now,
    requestsPerHost: 16,
    jobs: options.jobs ?? 16,
    env: {},
    userAgent: 'imgcopy/test',
    uploadState: () => Promise.resolve(options.uploadState ?? noUploads),
  });
}

/** @param name  `repository:tag` or `repository@digest` */
export function referenceTo(registry: TestRegistry, name: string): RegistryReference {
  return parseRegistryReference(`${registry.host}/${name}`, name);
}

/** A client of one repository, its side the destination. */
export async function clientOf(
  access: RegistryAccess,
  registry: TestRegistry,
  repository: string,
  options: Partial<ReachOptions> = {},
): Promise<RegistryClient> {
  const scopes = [`repository:${repository}:pull,push`];
  const side = 'destination';
  const { origin, send } = await access.reach(registry.host, { plainHttp: true, side, scopes, ...options });
  return new RegistryClient({ origin, repository, side, send });
}

export async function sourceAt(
  access: RegistryAccess,
  registry: TestRegistry,
  name: string,
  { observer, ...endpoint }: RegistryEndpoint & Pick<ReachOptions, 'observer'> = {},
): Promise<RegistrySource> {
  const reference = referenceTo(registry, name);
  return await openRegistrySource(access, reference, { ...endpointOf(reference), ...endpoint }, { observer });
}

/** The address that a reference names, by http. */
export function endpointOf({ registry, repository }: RegistryReference): Endpoint {
  return { address: { registry, repository }, plainHttp: true };
}

export async function destinationAt(
  access: RegistryAccess,
  registry: TestRegistry,
  name: string,
  options: RegistryDestinationOptions = {},
): Promise<RegistryDestination> {
  const reference = referenceTo(registry, name);
  return await openRegistryDestination(access, reference, endpointOf(reference), options);
}

export function infoOf(bytes: Buffer): BlobInfo {
  return { digest: digestOf(bytes), size: bytes.length };
}

/** A cache that knows what hosts can do, and nothing else. */
export function cacheKnowing(abilities: Partial<Record<HostAbility, number>>): BlobInfoCache {
  return { ...noCache(), hostAbility: (_host, ability) => abilities[ability] };
}

/** Bytes as a stream of packets. */
export function streamOf(bytes: Buffer, packetBytes: number = 64 * 1024): Readable {
  const packets = Array.from({ length: Math.ceil(bytes.length / packetBytes) }, (_, index) =>
    bytes.subarray(index * packetBytes, (index + 1) * packetBytes),
  );
  return Readable.from(packets, { objectMode: false });
}

/** Methods and statuses of the requests to a registry in the order they came, e.g. `POST 202, PUT 201`. */
export function exchanges(registry: TestRegistry): string {
  return registry.requests.map(({ method, status, outcome }) => `${method} ${status ?? outcome}`).join(', ');
}
