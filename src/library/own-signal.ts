/**
 * Does one piece of work of several that share connections. What it still asks for when it has ended, for it failed early, is aborted: else that would
 * be retried after its end.
 */
export async function underOwnSignal<T>(
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  try {
    return await work(signal === undefined ? over.signal : AbortSignal.any([over.signal, signal]));
  } finally {
    over.abort();
  }
}
