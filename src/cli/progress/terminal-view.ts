import { chalkStderr as chalk } from 'chalk';
import cliTruncate from 'cli-truncate';
import stringWidth from 'string-width';
import { printable } from '../../index.ts';
import { formatBytes, formatTimeLeft, shortDigest } from '../format.ts';
import { type BlobState, CopyState } from './copy-state.ts';
import { describeEnd, OUTCOMES } from './summary.ts';

/** How large the terminal is, in characters. */
export interface ViewSize {
  readonly columns: number;
  readonly rows: number;
}

/** How long the end of a blob is shown, in ms. */
const LINGER_MS = 1_500;
const BAR_WIDTH = { most: 30, least: 8 };
/** Left empty at the end of each line: a line that fills the last column would wrap, and so would the `^C` that a terminal adds. */
const MARGIN = 3;
/** The spinner and a space stand before the first line. */
const SPINNER_WIDTH = 2;
/** So much is shown of a destination's name, its end. */
const LEAST_NAME = 16;

/** The lines that show the copies of an image, to one destination or to several: then each begins with the name of its own. */
export function drawCopies(states: readonly CopyState[], size: ViewSize, now: number): readonly string[] {
  const [only = new CopyState(now), ...others] = states;
  if (others.length === 0) return drawCopy(only, size, now);
  const { columns, rows } = size;
  const share = Math.floor((rows - 1) / states.length) + 1;
  const lines = states.flatMap((state, index) => {
    const [headline = '', ...blobs] = drawCopy(state, { columns, rows: share }, now);
    const width = Math.max(1, columns - MARGIN - (index === 0 ? SPINNER_WIDTH : 0));
    const room = Math.max(LEAST_NAME, width - stringWidth(headline) - 2);
    const name = cliTruncate(printable(state.destination ?? ''), room, { position: 'start' });
    return [cliTruncate(`${name}  ${headline}`, width), ...blobs];
  });
  return lines.slice(0, Math.max(1, rows - 1));
}

/** The lines that show a copy. None is wider than the terminal, and there are not more than it has room for; the first goes beside a spinner. */
export function drawCopy(state: CopyState, { columns, rows }: ViewSize, now: number): readonly string[] {
  const all = state.blobs(now);
  const active = all.filter(({ end }) => end === undefined);
  const ended = all.filter(({ end }) => end !== undefined && now - end.at < LINGER_MS);
  // The last row stays empty, or the terminal would scroll.
  const room = Math.max(1, rows - 2);
  const shown = [...active, ...ended.toReversed()].slice(0, room);
  const hidden = active.length - shown.filter(({ end }) => end === undefined).length;
  const width = columns - MARGIN;
  const arriving = state.destination?.startsWith('docker:') ? 'uploading' : 'writing';
  return [
    widestThatFits(headlines(state, hidden, now), width - SPINNER_WIDTH),
    ...shown.map((blob) =>
      widestThatFits(blob.end === undefined ? activeLines(blob, arriving, width) : endedLines(blob), width),
    ),
  ];
}

/** The first line that fits, of several that say less and less. */
function widestThatFits(lines: readonly string[], width: number): string {
  return lines.find((line) => stringWidth(line) <= width) ?? cliTruncate(lines.at(-1) ?? '', Math.max(1, width));
}

function headlines(state: CopyState, hidden: number, now: number): readonly string[] {
  const { blobs, blobsDone, bytes, bytesDone, bytesPerSecond, msLeft, isFinal } = state.totals(now);
  if (state.source === undefined) return ['connecting to source and destination', 'connecting'];
  if (blobs === 0) return [printable(`reading ${state.source}`), 'reading'];
  if (blobsDone === blobs && isFinal) return [printable(`writing ${state.destination}`), 'writing'];
  const done = `${blobsDone} of ${blobs} blobs`;
  const moved = `${formatBytes(bytesDone)} of ${formatBytes(bytes)}`;
  const rate = `${formatBytes(bytesPerSecond)}/s`;
  const left = msLeft === undefined || !isFinal ? [] : [`${formatTimeLeft(msLeft)} left`];
  const more = hidden > 0 ? [`(+${hidden} more)`] : [];
  return [
    [done, moved, rate, ...left, ...more],
    [done, moved, ...left, ...more],
    [moved, ...left],
    [moved],
    [percent(bytesDone, bytes)],
  ].map((columns) => columns.join('  '));
}

function activeLines(blob: BlobState, arriving: string, width: number): readonly string[] {
  const { bytes, size, bytesPerSecond } = blob;
  const name = `  ${nameOf(blob)}`;
  const done = `${formatBytes(bytes).padStart(8)} of ${formatBytes(size).padStart(8)}`;
  // All bytes have left the source: what is still to do, the destination does.
  const hasLeft = bytes >= size && size > 0;
  const speed = hasLeft ? arriving : `${formatBytes(bytesPerSecond)}/s`.padStart(9);
  const share = hasLeft ? arriving : percent(bytes, size);
  const without = [name, done, speed].join('  ');
  const room = Math.min(BAR_WIDTH.most, width - stringWidth(without) - 2);
  const bars =
    room < BAR_WIDTH.least
      ? []
      : [[name, bar(size === 0 ? 1 : Math.min(1, bytes / size), room), done, speed].join('  ')];
  return [...bars, without, [name, done].join('  '), `${name}  ${share}`, `  ${share}`];
}

function endedLines(blob: BlobState): readonly string[] {
  const { end, size } = blob;
  const name = `${chalk.green('✓')} ${nameOf(blob)}`;
  if (end === undefined) return [name];
  const words = [
    `${formatBytes(size)} ${printable(describeEnd(end))}`,
    `${formatBytes(size)} ${OUTCOMES[end.outcome]}`,
    OUTCOMES[end.outcome],
  ];
  return [...words.map((text) => `${name}  ${chalk.dim(text)}`), name];
}

function nameOf({ name, digest }: BlobState): string {
  return `${name.padEnd(6)} ${shortDigest(digest)}`;
}

function percent(bytes: number, size: number): string {
  return `${size === 0 ? 100 : Math.min(100, Math.floor((bytes / size) * 100))} %`;
}

/** Both halves can be told apart without colours. */
function bar(share: number, width: number): string {
  const full = Math.floor(share * width);
  return `${chalk.cyan('━'.repeat(full))}${chalk.dim('╌'.repeat(width - full))}`;
}
