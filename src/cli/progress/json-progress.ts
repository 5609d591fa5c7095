import { ImgcopyError, isAbort, printableJson, type CopyEvent, type ErrorKind, type Side } from '../../index.ts';
import type { Progress } from './progress.ts';

/** Between two lines about one blob's progress, in ms. */
const INTERVAL_MS = 100;

/** The last event of a copy that failed. */
interface FailedEvent {
  readonly type: 'failed';
  readonly code: string;
  readonly kind: ErrorKind;
  readonly message: string;
  readonly hint?: string | undefined;
  readonly side?: Side | undefined;
  readonly destinationId?: string | undefined;
  readonly request?: string | undefined;
}

/** The library's events, one JSON object per line; a blob's progress at most ten times a second. */
export function openJsonProgress(): Progress {
  const shownAt = new Map<string, number>();
  const show = (event: CopyEvent): void => {
    if (event.type === 'blob-progress') {
      const now = performance.now();
      const blob = `${event.destinationId} ${event.digest}`;
      if (now - (shownAt.get(blob) ?? -Infinity) < INTERVAL_MS) return;
      shownAt.set(blob, now);
    }
    print(event);
  };
  return {
    show,
    warn: (message) => print({ type: 'warning', message }),
    finish: () => undefined,
    fail: (error, destinationId) =>
      print({ ...failedEvent(error), ...(destinationId !== undefined && { destinationId }) }),
  };
}

function failedEvent(error: unknown): FailedEvent {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof ImgcopyError) {
    const { code, kind, hint, side, destinationId, request } = error;
    return { type: 'failed', code, kind, message, hint, side, destinationId, request };
  }
  return { type: 'failed', code: isAbort(error) ? 'ERR_INTERRUPTED' : 'ERR_FAILED', kind: 'failed', message };
}

function print(event: object): void {
  process.stderr.write(`${printableJson(event)}\n`);
}
