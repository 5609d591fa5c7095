import type { TestContext } from 'node:test';
import { giveBack, takeSlab } from '../../src/io/slabs.ts';

/**
 * Overwrites, all the time, the slabs that were given back: what somebody still needs comes out wrong.
 * @param most  of them at a time, those that came back last first. Default: all.
 */
export function spoilFreeSlabs(t: TestContext, most = 64): void {
  const spoil = (): void => {
    const slabs = Array.from({ length: most }, takeSlab);
    for (const slab of slabs) giveBack(slab.fill(0xee));
    spoiling = setImmediate(spoil);
  };
  let spoiling = setImmediate(spoil);
  t.after(() => clearImmediate(spoiling));
}
