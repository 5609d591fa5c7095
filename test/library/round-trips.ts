import type { AuthOptions } from '../support/registry/options.ts';
import { waitsOf, type RequestRecord, type TestRegistry } from '../support/registry.ts';

/** How a registry may want to know who asks. */
export const authKinds: Readonly<Record<string, AuthOptions | undefined>> = {
  'without authentication': undefined,
  'with Basic': { kind: 'basic', username: 'user', password: 'secret' },
  'with Bearer': { kind: 'bearer', username: 'user', password: 'secret' },
};

/** The requests of a copy, without those by which it found out who it has to be. */
export function requestsOf(registries: readonly TestRegistry[]): readonly RequestRecord[] {
  const all = registries.flatMap((registry) => registry.requests);
  return all.filter(({ path, status }) => status !== 401 && !path.startsWith('/token'));
}

/** How many round trips a copy had to wait for one after the other, and how many requests it made. */
export function costOf(...registries: readonly TestRegistry[]): { readonly waits: number; readonly requests: number } {
  const requests = requestsOf(registries);
  return { waits: waitsOf(requests), requests: requests.length };
}

/** How many requests there are of each method. */
export function countMethods(requests: readonly string[] = []): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const request of requests) {
    const method = request.slice(0, request.indexOf(' '));
    counts[method] = (counts[method] ?? 0) + 1;
  }
  return counts;
}
