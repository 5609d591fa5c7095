import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { withDefaultFlags } from './v8-flags.ts';

/** On which undici tells that it writes a request. */
const SENDING = 'undici:client:sendHeaders';
/** A copy begins with a request to each side. */
const FIRST_REQUESTS = 2;

/**
 * Loads node:crypto once the first requests are on their way, and not before them, as an import would: it takes 4 ms, and is needed when an answer is
 * checked. scripts/bundle.js keeps imports from loading it.
 */
export function loadCryptoMeanwhile(): void {
  let sent = 0;
  const onSending = (): void => {
    sent += 1;
    if (sent < FIRST_REQUESTS) return;
    unsubscribe(SENDING, onSending);
    setImmediate(() => withDefaultFlags(() => process.getBuiltinModule('node:crypto')));
  };
  subscribe(SENDING, onSending);
}
