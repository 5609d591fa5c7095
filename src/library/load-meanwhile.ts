/** Who has not heard from registries for so long waits for far ones, in ms: there is time. */
const SLOW_MS = 40;

/** Does some work, and where that takes its time, loads meanwhile what it may need later. */
export async function loadMeanwhile<T>(load: () => Promise<unknown>, work: () => Promise<T>): Promise<T> {
  const timer = setTimeout(() => {
    // Who needs it is told.
    load().catch(() => undefined);
  }, SLOW_MS).unref();
  try {
    return await work();
  } finally {
    clearTimeout(timer);
  }
}
