import type { CopyEvent } from '../../index.ts';
import type { Progress } from './progress.ts';

/** Between two lines on how far one blob is, in ms. */
const INTERVAL_MS = 100;

/** The events of the library, a JSON object a line; those on how far a blob is at most ten times a second each. */
export function openJsonProgress(): Progress {
  const shownAt = new Map<string, number>();
  const show = (event: CopyEvent): void => {
    if (event.type === 'blob-progress') {
      const now = performance.now();
      if (now - (shownAt.get(event.digest) ?? -Infinity) < INTERVAL_MS) return;
      shownAt.set(event.digest, now);
    }
    print(event);
  };
  return {
    show,
    warn: (message) => print({ type: 'warning', message }),
    finish: () => undefined,
    stop: () => undefined,
  };
}

function print(event: object): void {
  process.stderr.write(`${JSON.stringify(event)}\n`);
}
