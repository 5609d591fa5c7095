import { parseArgs } from 'node:util';
import { fuzz } from './fuzz-process.ts';
import { FUZZ_TARGETS } from './targets.ts';

// npm run fuzz -- [--seconds N] [--only NAME] [--seed N]
// Throws inputs at every parser, or one, for so many seconds each (default 60), and ends with status 1 at the first that is too much.

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, only: { type: 'string' }, seed: { type: 'string' } },
});
const targets = FUZZ_TARGETS.filter(({ name }) => values.only === undefined || values.only === name);
if (targets.length === 0) throw new Error(`--only is one of: ${FUZZ_TARGETS.map(({ name }) => name).join(', ')}`);

for (const target of targets) {
  const seed = Number(values.seed ?? Date.now() % 2 ** 31);
  const cases = await fuzz(target, { seed, cases: 2 ** 31 - 1, timeMs: Number(values.seconds) * 1000 });
  process.stdout.write(`${target.name}: ${cases} inputs, seed ${seed}\n`);
}
