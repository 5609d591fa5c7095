import type { Readable } from 'node:stream';

/** Calls back once a body is read to its end, or given up. Not by `finished`, which costs more than all else that is done for a short one. */
export function whenClosed(body: Readable, then: () => void): void {
  // It may fail before somebody reads it, who will be told.
  body.on('error', () => undefined);
  if (body.closed) then();
  else body.once('close', then);
}
