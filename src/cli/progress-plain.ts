import type { CopyEvent } from '../index.ts';
import type { Progress, ProgressOptions } from './progress.ts';
import { summarize } from './summary.ts';
import { formatBytes, formatDuration } from './values.ts';

/** Between two lines that say how far the copy is, in ms. */
const INTERVAL_MS = 5_000;

const WORDS = {
  reused: 'is there already',
  mounted: 'mounted',
  substituted: 'substituted',
  partial: 'built from pieces',
  copied: 'copied',
} as const;

/** Lines for logs: one at each blob's end, and one every few seconds while nothing ends. */
export function openPlainProgress({ verbose }: ProgressOptions): Progress {
  const sizes = new Map<string, { size: number; done: number }>();
  const started = performance.now();
  let lastLine = started;

  const heartbeat = (): void => {
    const now = performance.now();
    if (now - lastLine < INTERVAL_MS) return;
    lastLine = now;
    const all = [...sizes.values()];
    const done = all.reduce((sum, blob) => sum + blob.done, 0);
    const total = all.reduce((sum, blob) => sum + blob.size, 0);
    const rate = (done / (now - started)) * 1000;
    const left = rate > 0 ? `, ${formatDuration(((total - done) / rate) * 1000)} left` : '';
    print(`${formatBytes(done)} of ${formatBytes(total)}, ${formatBytes(rate)}/s${left}`);
  };

  const show = (event: CopyEvent): void => {
    if (event.type === 'blob-started') sizes.set(event.digest, { size: event.size, done: 0 });
    if (event.type === 'blob-progress') {
      const blob = sizes.get(event.digest);
      if (blob !== undefined) blob.done = event.bytes;
      heartbeat();
    }
    if (event.type === 'blob-done') {
      sizes.set(event.digest, { size: event.size, done: event.size });
      const pieces =
        event.outcome === 'partial'
          ? `, ${formatBytes(event.bytesFetched)} fetched and ${formatBytes(event.bytesReused)} reused`
          : '';
      const from = event.from === undefined ? '' : ` from ${event.from}`;
      print(`${event.digest.slice(0, 19)} ${formatBytes(event.size)}: ${WORDS[event.outcome]}${from}${pieces}`);
      lastLine = performance.now();
    }
    if (event.type === 'retry' && (verbose || event.delayMs >= 2_000)) {
      print(`${event.side}: ${event.what}: ${event.why}; again in ${formatDuration(event.delayMs)}`);
    }
    if (event.type === 'warning') print(`warning: ${event.message}`);
    if (event.type === 'manifest' && verbose)
      print(`manifest ${event.digest.slice(0, 19)} ${event.platform ?? event.mediaType}`);
  };
  return {
    show,
    warn: (message) => {
      if (verbose) print(`warning: ${message}`);
    },
    finish: (result) => print(summarize(result)),
    stop: () => undefined,
  };
}

function print(line: string): void {
  process.stderr.write(`${line}\n`);
}
