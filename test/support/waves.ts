import type { TestRegistry } from './registry.ts';

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
