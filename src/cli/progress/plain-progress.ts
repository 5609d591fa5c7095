import { endName, printable, type CopyEvent } from '../../index.ts';
import { formatBytes, formatDuration, formatTimeLeft, shortDigest } from '../format.ts';
import { type CopyState, CopyStates } from './copy-state.ts';
import type { Progress, ProgressOptions } from './progress.ts';
import { describeEnd, summarize } from './summary.ts';

/** Between two lines that say how far the copy is, in ms. */
const INTERVAL_MS = 5_000;
/** A wait that is worth a line, in ms. */
const LONG_WAIT_MS = 2_000;

/**
 * Lines for logs: one when the copy starts, one when a blob is done that was not already there, and one every few seconds while nothing
 * is done. Every line names the image, since several copies may write to one log.
 */
export function openPlainProgress({ verbose }: Pick<ProgressOptions, 'verbose'>): Progress {
  const states = new CopyStates();
  const heartbeat = setInterval(() => {
    for (const state of states.all) {
      const line = describeState(state, performance.now());
      if (line !== undefined) print(`${imageOf(state)}${line}`);
    }
  }, INTERVAL_MS);
  heartbeat.unref();

  return {
    show: (event) => {
      const now = performance.now();
      const state = states.of(event, now);
      state.apply(event, now);
      if (event.type === 'started') {
        print(`copying ${event.source} to ${event.destination}`);
        return;
      }
      const line = describeEvent(event, state, verbose);
      if (line === undefined) return;
      print(`${imageOf(state)}${line}`);
      heartbeat.refresh();
    },
    warn: (message) => {
      const [state, ...others] = states.all;
      const image = state === undefined || others.length > 0 ? '' : imageOf(state);
      if (verbose) print(`${image}warning: ${message}`);
    },
    finish: (result) => {
      clearInterval(heartbeat);
      print(summarize(result));
    },
    fail: () => clearInterval(heartbeat),
  };
}

/** How far a copy is, in one line; undefined before its first blob. */
function describeState(state: CopyState, now: number): string | undefined {
  const { blobs, blobsDone, bytes, bytesDone, bytesPerSecond, msLeft, isFinal } = state.totals(now);
  if (blobs === 0) return undefined;
  const left = msLeft === undefined || !isFinal ? '' : `, ${formatTimeLeft(msLeft)} left`;
  return `${blobsDone} of ${blobs} blobs, ${formatBytes(bytesDone)} of ${formatBytes(bytes)}, ${formatBytes(bytesPerSecond)}/s${left}`;
}

/** A request that is sent again. The request itself is named once. */
export function describeRetry(
  { what, why, delayMs, ...end }: Extract<CopyEvent, { type: 'retry' }>,
  { withRequest }: { readonly withRequest: boolean },
): string {
  const reason = why.startsWith(`${what}: `) ? why.slice(what.length + 2) : why;
  return `${endName(end)}: ${withRequest ? `${what}: ` : ''}${reason}; retrying in ${formatDuration(delayMs)}`;
}

function describeEvent(event: CopyEvent, state: CopyState, verbose: boolean): string | undefined {
  switch (event.type) {
    case 'blob-done': {
      // The summary counts what was already there, or left out.
      if ((event.outcome === 'reused' || event.outcome === 'left-out') && !verbose) return undefined;
      const { name = 'blob', end = { ...event, at: 0 } } =
        state.blobs(0).find(({ digest }) => digest === event.digest) ?? {};
      return `${name} ${shortDigest(event.digest)} ${formatBytes(event.size)}: ${describeEnd(end)}`;
    }
    case 'retry':
      return verbose || event.delayMs >= LONG_WAIT_MS ? describeRetry(event, { withRequest: true }) : undefined;
    case 'warning':
      return `warning: ${event.message}`;
    case 'manifest':
      return verbose
        ? `manifest ${shortDigest(event.digest)} ${event.platform ?? event.mediaType}${fromOther(event, state)}`
        : undefined;
    case 'fallback':
      return verbose ? describeFallback(event) : undefined;
    case 'started':
    case 'planned':
    case 'blob-started':
    case 'blob-progress':
    case 'blob-stream':
    case 'done':
  }
  return undefined;
}

/** An address that did not give something. */
export function describeFallback({ address, why, next }: Extract<CopyEvent, { type: 'fallback' }>): string {
  return `source: ${address}: ${why}; asking ${next}`;
}

function fromOther({ from }: { readonly from?: string | undefined }, state: CopyState): string {
  const other = state.unnamedOrigin(from);
  return other === undefined ? '' : ` from ${other}`;
}

/** What every line begins with, the summary included. */
function imageOf({ destination }: CopyState): string {
  return destination === undefined ? '' : `${destination}: `;
}

function print(line: string): void {
  process.stderr.write(`${printable(line)}\n`);
}
