/** So long a request may continue after the abort that it does not hear of, in ms. */
const DELAY_MS = 2_000;

/** To be disposed of when the request has ended. */
export interface DelayedAbort extends Disposable {
  readonly signal: AbortSignal | undefined;
}

/**
 * A signal that aborts a little later than another one: for a request whose answer says what there is to be undone.
 * @throws the signal's reason, when it is aborted already: nothing has been sent then.
 */
export function delayedAbort(signal: AbortSignal | undefined): DelayedAbort {
  signal?.throwIfAborted();
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    timer = setTimeout(() => late.abort(signal?.reason), DELAY_MS);
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  return {
    signal: signal && late.signal,
    [Symbol.dispose](): void {
      signal?.removeEventListener('abort', onAbort);
      clearTimeout(timer);
    },
  };
}
