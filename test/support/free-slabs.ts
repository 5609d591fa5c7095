import type { TestContext } from 'node:test';
import { giveBack, takeSlab } from '../../src/io/slabs.ts';

/** Overwrites, all the time, every slab that was given back: what somebody still needs comes out wrong. */
export function spoilFreeSlabs(t: TestContext): void {
  const spoil = (): void => {
    const slabs = Array.from({ length: 64 }, takeSlab);
    for (const slab of slabs) giveBack(slab.fill(0xee));
    spoiling = setImmediate(spoil);
  };
  let spoiling = setImmediate(spoil);
  t.after(() => clearImmediate(spoiling));
}
