import { chalkStderr as chalk } from 'chalk';
import ora from 'ora';
import stringWidth from 'string-width';
import { printable } from '../../index.ts';
import { CopyStates } from './copy-state.ts';
import { shortDigest } from '../format.ts';
import { describeFallback, describeRetry } from './plain-progress.ts';
import type { Progress, ProgressOptions } from './progress.ts';
import { describeEnd, summarize } from './summary.ts';
import { drawCopies } from './terminal-view.ts';

const REDRAW_MS = 100;
/** The spinner and a space stand before the first line. */
const SPINNER_WIDTH = 2;

/** One line for the whole copy with a spinner, and one for each blob that is being copied. A summary replaces them at the end. */
export function openTerminalProgress({ verbose }: Pick<ProgressOptions, 'verbose'>): Progress {
  // NO_COLOR, which chalk does not know.
  const isColoured = process.stderr.hasColors();
  if (!isColoured) chalk.level = 0;
  const states = new CopyStates();
  // Ora would stay silent under CI; whether to draw was decided before.
  const spinner = ora({
    stream: process.stderr,
    interval: REDRAW_MS,
    discardStdin: false,
    isEnabled: true,
    color: isColoured && 'cyan',
  });
  let drawn: readonly string[] = [];
  const draw = (): void => {
    const size = { columns: process.stderr.columns, rows: process.stderr.rows || 24 };
    drawn = drawCopies(states.all, size, performance.now());
    spinner.text = drawn.join('\n');
  };
  const onResize = (): void => {
    clearWrapped(drawn);
    draw();
  };
  process.stderr.on('resize', onResize);
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
    process.stderr.off('resize', onResize);
    spinner.stop();
  };

  return {
    show: (event) => {
      const now = performance.now();
      const state = states.of(event, now);
      state.apply(event, now);
      if (event.type === 'warning') say(`${chalk.yellow('warning:')} ${printable(event.message)}`);
      if (event.type === 'retry') {
        say(chalk.dim(printable(describeRetry(event, { withRequest: verbose }))));
      }
      if (event.type === 'fallback' && verbose) say(chalk.dim(printable(describeFallback(event))));
      if (event.type === 'blob-done' && verbose) {
        const { end = { ...event, at: now } } = state.blobs(now).find(({ digest }) => digest === event.digest) ?? {};
        say(`${chalk.green('✓')} ${shortDigest(event.digest)}  ${printable(describeEnd(end))}`);
      }
    },
    warn: (message) => {
      if (verbose) say(`${chalk.yellow('warning:')} ${printable(message)}`);
    },
    finish: (result) => {
      stop();
      process.stderr.write(`${chalk.green('✓')} ${summarize(result)}\n`);
    },
    fail: stop,
  };
}

/**
 * Removes lines that the terminal has wrapped because it became narrower. Ora counts them as one row each, so the cursor is put where
 * it expects it.
 */
function clearWrapped(lines: readonly string[]): void {
  const { stderr } = process;
  const widths = lines.map((line, index) => stringWidth(line) + (index === 0 ? SPINNER_WIDTH : 0));
  const rows = widths.reduce((sum, width) => sum + Math.max(1, Math.ceil(width / stderr.columns)), 0);
  if (rows <= lines.length) return;
  stderr.cursorTo(0);
  stderr.moveCursor(0, 1 - rows);
  stderr.clearScreenDown();
  stderr.write('\n'.repeat(lines.length - 1));
}
