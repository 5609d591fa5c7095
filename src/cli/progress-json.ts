import type { Progress } from './progress.ts';

/** The events of the library, a JSON object a line. */
export function openJsonProgress(): Progress {
  return {
    show: print,
    warn: (message) => print({ type: 'warning', message }),
    finish: () => undefined,
    stop: () => undefined,
  };
}

function print(event: object): void {
  process.stderr.write(`${JSON.stringify(event)}\n`);
}
