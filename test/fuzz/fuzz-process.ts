import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { FuzzTarget } from './target.ts';

/** One input never takes this long, on any machine. In ms. */
const HANG_MS = 30_000;
/** What a parser may hold: a small input must not become a large value. In MB. */
const MAX_HEAP_MB = 256;
/** Of what a failed run prints, which holds the input. */
const MAX_LINE = 2000;

export interface FuzzRun {
  readonly seed: number;
  readonly cases: number;
  readonly timeMs: number;
  /** Hears how many inputs have been tried. */
  readonly onProgress?: ((cases: number) => void) | undefined;
}

/**
 * Runs a target in a process of its own, so that a parser that hangs or takes all memory is found out.
 * @returns the number of inputs.
 * @throws Error with what the process printed, and how to run it again.
 */
export async function fuzz({ name }: Pick<FuzzTarget, 'name'>, run: FuzzRun): Promise<number> {
  const { seed, cases, timeMs, onProgress } = run;
  const child = fork(
    fileURLToPath(new URL('fuzz-child.ts', import.meta.url)),
    [name, JSON.stringify({ seed, cases, timeMs })],
    {
      execArgv: [`--max-old-space-size=${MAX_HEAP_MB}`],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    },
  );
  let printed = '';
  for (const output of [child.stdout, child.stderr]) output?.on('data', (text: Buffer) => (printed += text.toString()));
  let done = 0;
  let isHung = false;
  const watch = setTimeout(() => {
    isHung = true;
    child.kill('SIGKILL');
  }, HANG_MS);
  child.on('message', (count: number) => {
    done = count;
    watch.refresh();
    onProgress?.(count);
  });
  const [status] = (await once(child, 'close')) as [number | null];
  clearTimeout(watch);
  if (status === 0 && done > 0) return done;
  const what = isHung ? `hangs after ${done} inputs or a few more` : `failed after ${done} inputs`;
  const lines = printed.split('\n').map((line) => line.slice(0, MAX_LINE));
  throw new Error(`${name} ${what}: npm run fuzz -- --only '${name}' --seed ${seed}\n${lines.join('\n')}`);
}
