import { chalkStderr as chalk } from 'chalk';
import ora from 'ora';
import { CopyState } from './copy-state.ts';
import { formatDuration, printable, shortDigest } from '../format.ts';
import { describeEnd } from './plain-progress.ts';
import type { Progress, ProgressOptions } from './progress.ts';
import { summarize } from './summary.ts';
import { drawCopy } from './terminal-view.ts';

const REDRAW_MS = 100;

/** A spinner's line with the whole, a line for each blob under way, and, once the copy has ended, a summary alone. */
export function openTerminalProgress({ verbose }: Pick<ProgressOptions, 'verbose'>): Progress {
  // NO_COLOR, which chalk does not know.
  const isColoured = process.stderr.hasColors();
  if (!isColoured) chalk.level = 0;
  const state = new CopyState(performance.now());
  // Ora would stay silent under CI; whether to draw was decided before.
  const spinner = ora({
    stream: process.stderr,
    interval: REDRAW_MS,
    discardStdin: false,
    isEnabled: true,
    color: isColoured && 'cyan',
  });
  const draw = (): void => {
    const size = { columns: process.stderr.columns, rows: process.stderr.rows || 24 };
    spinner.text = drawCopy(state, size, performance.now()).join('\n');
  };
  const timer = setInterval(draw, REDRAW_MS);
  timer.unref();
  draw();
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
    show: (event) => {
      const now = performance.now();
      state.apply(event, now);
      if (event.type === 'warning') say(`${chalk.yellow('warning:')} ${printable(event.message)}`);
      if (event.type === 'retry') {
        const { side, what, why, delayMs } = event;
        const request = verbose ? `${what}: ` : '';
        say(chalk.dim(printable(`${side}: ${request}${why}; again in ${formatDuration(delayMs)}`)));
      }
      if (event.type === 'blob-done' && verbose) {
        say(`${chalk.green('✓')} ${shortDigest(event.digest)}  ${printable(describeEnd({ ...event, at: now }))}`);
      }
    },
    warn: (message) => {
      if (verbose) say(`${chalk.yellow('warning:')} ${printable(message)}`);
    },
    finish: (result) => {
      stop();
      process.stderr.write(`${chalk.green('✓')} ${summarize(result)}\n`);
    },
    stop,
  };
}
