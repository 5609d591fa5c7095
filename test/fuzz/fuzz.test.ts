import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzz } from './fuzz-process.ts';
import { FUZZ_TARGETS } from './targets.ts';

const CASES = 1000;

for (const target of FUZZ_TARGETS) {
  test(`no input crashes, hangs or swells the parser: ${target.name}`, async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    assert.equal(await fuzz(target, { seed, cases: CASES, timeMs: 2 ** 31 - 1 }), CASES);
  });
}
