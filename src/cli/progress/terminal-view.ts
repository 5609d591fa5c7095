import { chalkStderr as chalk } from 'chalk';
import type { BlobState, CopyState } from './copy-state.ts';
import { formatBytes, formatDuration, printable, shortDigest } from '../format.ts';
import { describeEnd } from './plain-progress.ts';

/** How large the terminal is, in characters. */
export interface ViewSize {
  readonly columns: number;
  readonly rows: number;
}

/** How long one sees what became of a blob, in ms. */
const LINGER_MS = 1_500;
const BAR_WIDTH = { most: 30, least: 8 };
/** `30.0 MB of 30.0 MB  12.3 MB/s` */
const NUMBERS_WIDTH = 31;

/** The lines that show a copy, none wider than the terminal and not more than it has room for; the first goes beside a spinner. */
export function drawCopy(state: CopyState, { columns, rows }: ViewSize, now: number): readonly string[] {
  const all = state.blobs(now);
  const active = all.filter(({ end }) => end === undefined);
  const ended = all.filter(({ end }) => end !== undefined && now - end.at < LINGER_MS);
  // The spinner and a space come before the first line; the last row stays empty, or the terminal would scroll.
  const room = Math.max(1, rows - 2);
  const shown = [...active, ...ended.toReversed()].slice(0, room);
  const hidden = active.length - shown.filter(({ end }) => end === undefined).length;
  const head = `${headline(state, now)}${hidden > 0 ? `  (${hidden} more under way)` : ''}`;
  const lines = shown.map((blob) => (blob.end === undefined ? activeLine(blob, columns) : endedLine(blob)));
  return [clip(head, columns - 2), ...lines.map((line) => clip(line, columns))];
}

function headline(state: CopyState, now: number): string {
  const { blobs, blobsDone, bytes, bytesDone, bytesPerSecond, msLeft, isFinal } = state.totals(now);
  if (state.source === undefined) return 'opening source and destination';
  if (blobs === 0) return printable(`reading ${state.source}`);
  if (blobsDone === blobs && isFinal) return printable(`writing ${state.destination}`);
  const left = msLeft === undefined || !isFinal ? '' : `  ${formatDuration(msLeft)} left`;
  const rate = `${formatBytes(bytesPerSecond)}/s`;
  return `${blobsDone} of ${blobs} blobs  ${formatBytes(bytesDone)} of ${formatBytes(bytes)}  ${rate}${left}`;
}

function activeLine(blob: BlobState, columns: number): string {
  const { bytes, size, bytesPerSecond } = blob;
  const start = `  ${nameOf(blob)}`;
  const width = Math.min(BAR_WIDTH.most, columns - start.length - NUMBERS_WIDTH - 4);
  const progress = bar(size === 0 ? 1 : Math.min(1, bytes / size), width);
  const done = `${formatBytes(bytes).padStart(8)} of ${formatBytes(size).padStart(8)}`;
  const rate = bytesPerSecond < 1 ? '' : `  ${formatBytes(bytesPerSecond)}/s`;
  return `${start}${progress}  ${done}${rate}`;
}

function endedLine(blob: BlobState): string {
  const end = blob.end === undefined ? '' : printable(describeEnd(blob.end));
  return `${chalk.green('✓')} ${nameOf(blob)}  ${chalk.dim(`${formatBytes(blob.size)} ${end}`)}`;
}

function nameOf({ name, digest }: BlobState): string {
  return `${name.padEnd(6)} ${shortDigest(digest)}`;
}

/** Both halves can be told apart without colours. */
function bar(share: number, width: number): string {
  if (width < BAR_WIDTH.least) return '';
  const full = Math.floor(share * width);
  return `  ${chalk.cyan('━'.repeat(full))}${chalk.dim('╌'.repeat(width - full))}`;
}

/** Cuts a line: a wrapped one could not be drawn over. Colours have no width. */
function clip(line: string, width: number): string {
  let seen = 0;
  return line.replaceAll(COLOUR_OR_CHARACTER, (part) => {
    if (part.length > 1 && part.startsWith('\u001B')) return part;
    seen += 1;
    return seen > width ? '' : part;
  });
}

// oxlint-disable-next-line no-control-regex -- a colour begins with the escape character
const COLOUR_OR_CHARACTER = /\u001B\[[\d;]*m|./gu;
