import chalk from 'chalk';
import ora from 'ora';
import type { BlobOutcome, CopyEvent } from '../index.ts';
import type { Progress, ProgressOptions } from './progress.ts';
import { summarize } from './summary.ts';
import { formatBytes } from './values.ts';

interface ActiveBlob {
  readonly name: string;
  readonly size: number;
  bytes: number;
}

const REDRAW_MS = 100;
const BAR_WIDTH = 24;
const MAX_LINES = 12;
const WORDS: Readonly<Record<BlobOutcome, string>> = {
  reused: 'there already',
  mounted: 'mounted',
  substituted: 'substituted',
  partial: 'built from pieces',
  copied: 'copied',
};

/** A spinner's line with the whole, a line for each blob under way, and, once the copy has ended, a summary alone. */
export function openTerminalProgress({ verbose }: ProgressOptions): Progress {
  const active = new Map<string, ActiveBlob>();
  const spinner = ora({ stream: process.stderr, interval: REDRAW_MS, discardStdin: false, text: 'starting' });
  const started = performance.now();
  let finishedBlobs = 0;
  let moved = 0;

  const draw = (): void => {
    const seconds = (performance.now() - started) / 1000;
    const now = moved + [...active.values()].reduce((sum, blob) => sum + blob.bytes, 0);
    const columns = process.stderr.columns || 80;
    const head = `${finishedBlobs} of ${finishedBlobs + active.size} blobs, ${formatBytes(now)} at ${formatBytes(now / Math.max(seconds, 0.1))}/s`;
    const lines = [...active].slice(0, MAX_LINES).map(([digest, blob]) => blobLine(digest, blob));
    spinner.text = [head, ...lines].map((line) => clip(line, columns - 3)).join('\n');
  };
  const timer = setInterval(draw, REDRAW_MS);
  timer.unref();
  spinner.start();

  /** Prints a line above what is redrawn. */
  const say = (line: string): void => {
    spinner.clear();
    process.stderr.write(`${line}\n`);
  };
  const stop = (): void => {
    clearInterval(timer);
    spinner.stop();
  };

  return {
    show: (event: CopyEvent): void => {
      if (event.type === 'blob-started') active.set(event.digest, { name: event.name, size: event.size, bytes: 0 });
      if (event.type === 'blob-progress') {
        const blob = active.get(event.digest);
        if (blob !== undefined) blob.bytes = event.bytes;
      }
      if (event.type === 'blob-done') {
        active.delete(event.digest);
        finishedBlobs += 1;
        moved += event.bytesFetched;
        if (verbose) say(`${chalk.green('✓')} ${event.digest.slice(0, 19)} ${WORDS[event.outcome]}`);
      }
      if (event.type === 'warning') say(`${chalk.yellow('warning:')} ${event.message}`);
      if (event.type === 'retry')
        say(chalk.dim(`${event.side}: ${event.why}; again in ${(event.delayMs / 1000).toFixed(1)} s`));
    },
    warn: (message) => {
      if (verbose) say(`${chalk.yellow('warning:')} ${message}`);
    },
    finish: (result) => {
      stop();
      process.stderr.write(`${chalk.green('✓')} ${summarize(result)}\n`);
    },
    stop,
  };
}

function blobLine(digest: string, { name, size, bytes }: ActiveBlob): string {
  const share = size === 0 ? 1 : Math.min(1, bytes / size);
  const full = Math.round(share * BAR_WIDTH);
  const bar = chalk.cyan('━'.repeat(full)) + chalk.dim('━'.repeat(BAR_WIDTH - full));
  return `${name.padEnd(6)} ${digest.slice(7, 19)} ${bar} ${formatBytes(bytes)} of ${formatBytes(size)}`;
}

/** Never wider than the terminal: a wrapped line could not be drawn over. Colours have no width. */
function clip(line: string, width: number): string {
  let seen = 0;
  let result = '';
  // eslint-disable-next-line no-control-regex
  for (const [part] of line.matchAll(/\u001B\[[\d;]*m|./gu)) {
    const isColour = part.startsWith('\u001B');
    if (!isColour && seen >= width) continue;
    if (!isColour) seen += 1;
    result += part;
  }
  return result;
}
