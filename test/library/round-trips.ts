import type { AuthOptions } from '../support/registry/options.ts';
import { waitsOf, type RequestRecord, type TestRegistry } from '../support/registry.ts';

/** How a registry may want to know who asks. */
export const authKinds: Readonly<Record<string, AuthOptions | undefined>> = {
  'without authentication': undefined,
  'with Basic': { kind: 'basic', username: 'user', password: 'secret' },
  'with Bearer': { kind: 'bearer', username: 'user', password: 'secret' },
};

/**
 * Lets the requests to registries be answered in waves: the first so many when they are all there, then the next. A copy that needs more
 * waits than there are waves stands still. Requests of tokens, and those that are refused for the lack of one, do not count.
 *
 * @param sizes  of the waves; what comes after them is answered at once.
 * @returns the requests of each wave, as `METHOD path`, once they have come.
 */
export function inWaves(registries: readonly TestRegistry[], sizes: readonly number[]): readonly string[][] {
  const waves = sizes.map((size) => ({ size, requests: [] as string[], full: Promise.withResolvers<void>() }));
  for (const registry of registries) {
    registry.behave({
      match: { path: /^\/v2\// },
      call: async ({ method, path }) => {
        const wave = waves.find(({ size, requests }) => requests.length < size);
        wave?.requests.push(`${method} ${path}`);
        if (wave?.requests.length === wave?.size) wave?.full.resolve();
        await wave?.full.promise;
      },
    });
  }
  return waves.map(({ requests }) => requests);
}

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
