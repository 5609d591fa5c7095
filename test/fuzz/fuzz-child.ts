import { FUZZ_TARGETS } from './targets.ts';

// Runs one target, and tells the process that started it how far it has come: node fuzz-child.ts NAME '{"seed":1,"cases":1000,"timeMs":60000}'

const TELL_EVERY_MS = 200;
/** V8's heap is bounded by an option; buffers lie beside it. In KiB. */
const MAX_RESIDENT = 700 * 1024;
const [name, options = '{}'] = process.argv.slice(2);
const target = FUZZ_TARGETS.find((candidate) => candidate.name === name);
if (target === undefined) throw new Error(`there is no target ${name}`);

let cases = 0;
let told = 0;
const tell = (): void => {
  told = Date.now();
  process.send?.(cases);
};
await target.run({
  ...(JSON.parse(options) as { seed: number; cases: number; timeMs: number }),
  onCase() {
    cases += 1;
    if (Date.now() - told >= TELL_EVERY_MS) tell();
  },
});
const { maxRSS } = process.resourceUsage();
if (maxRSS > MAX_RESIDENT) throw new Error(`it took ${maxRSS} KiB of memory, at most ${MAX_RESIDENT} are allowed`);
tell();
process.disconnect();
