import type { CopyEvent } from '../../index.ts';
import { CopyState, type BlobEnd } from './copy-state.ts';
import { formatBytes, formatDuration, printable, shortDigest } from '../format.ts';
import type { Progress, ProgressOptions } from './progress.ts';
import { OUTCOMES, summarize } from './summary.ts';

/** Between two lines that say how far the copy is, in ms. */
const INTERVAL_MS = 5_000;
/** A wait that is worth a line, in ms. */
const LONG_WAIT_MS = 2_000;

/** Lines for logs: one at each blob's end, and one every few seconds while nothing ends. */
export function openPlainProgress({ verbose }: Pick<ProgressOptions, 'verbose'>): Progress {
  const state = new CopyState(performance.now());
  const heartbeat = setInterval(() => {
    const line = describeState(state, performance.now());
    if (line !== undefined) print(line);
  }, INTERVAL_MS);
  heartbeat.unref();

  return {
    show: (event) => {
      state.apply(event, performance.now());
      const line = describeEvent(event, state, verbose);
      if (line === undefined) return;
      print(line);
      heartbeat.refresh();
    },
    warn: (message) => {
      if (verbose) print(`warning: ${message}`);
    },
    finish: (result) => {
      clearInterval(heartbeat);
      print(summarize(result));
    },
    stop: () => clearInterval(heartbeat),
  };
}

/** How far a copy is, in one line; undefined before its first blob. */
export function describeState(state: CopyState, now: number): string | undefined {
  const { blobs, blobsDone, bytes, bytesDone, bytesPerSecond, msLeft, isFinal } = state.totals(now);
  if (blobs === 0) return undefined;
  const left = msLeft === undefined || !isFinal ? '' : `, ${formatDuration(msLeft)} left`;
  return `${blobsDone} of ${blobs} blobs, ${formatBytes(bytesDone)} of ${formatBytes(bytes)}, ${formatBytes(bytesPerSecond)}/s${left}`;
}

/** What came of a blob: `copied`, `mounted from host/name`, `built from pieces, 2 MB fetched and 80 MB reused`. */
export function describeEnd({ outcome, from, bytesFetched, bytesReused }: BlobEnd): string {
  const pieces =
    outcome === 'partial' ? `, ${formatBytes(bytesFetched)} fetched and ${formatBytes(bytesReused)} reused` : '';
  return `${OUTCOMES[outcome]}${from === undefined ? '' : ` from ${from}`}${pieces}`;
}

function describeEvent(event: CopyEvent, state: CopyState, verbose: boolean): string | undefined {
  switch (event.type) {
    case 'blob-done': {
      const { name = 'blob' } = state.blobs(0).find(({ digest }) => digest === event.digest) ?? {};
      return `${name} ${shortDigest(event.digest)} ${formatBytes(event.size)}: ${describeEnd({ ...event, at: 0 })}`;
    }
    case 'retry':
      if (!verbose && event.delayMs < LONG_WAIT_MS) return undefined;
      return `${event.side}: ${event.what}: ${event.why}; again in ${formatDuration(event.delayMs)}`;
    case 'warning':
      return `warning: ${event.message}`;
    case 'manifest':
      return verbose ? `manifest ${shortDigest(event.digest)} ${event.platform ?? event.mediaType}` : undefined;
    case 'started':
      return verbose ? `${event.source} to ${event.destination}` : undefined;
    case 'planned':
    case 'blob-started':
    case 'blob-progress':
    case 'done':
  }
  return undefined;
}

function print(line: string): void {
  process.stderr.write(`${printable(line)}\n`);
}
