/** Older bytes say nothing of how fast it goes now, in ms. */
const WINDOW_MS = 4_000;
/** Samples that are closer together are one, in ms. */
const STEP_MS = 200;

/** How fast bytes come, by those of the last few seconds. */
export class Rate {
  readonly #samples: { readonly at: number; bytes: number }[] = [];
  readonly #startedAt: number;

  /** @param startedAt  in ms, of the clock that all calls go by. */
  constructor(startedAt: number) {
    this.#startedAt = startedAt;
  }

  add(bytes: number, now: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && now - last.at < STEP_MS) last.bytes += bytes;
    else this.#samples.push({ at: now, bytes });
    this.#forget(now);
  }

  /** In bytes a second. */
  perSecond(now: number): number {
    this.#forget(now);
    const bytes = this.#samples.reduce((sum, sample) => sum + sample.bytes, 0);
    const elapsed = Math.min(WINDOW_MS, Math.max(now - this.#startedAt, STEP_MS));
    return (bytes / elapsed) * 1000;
  }

  #forget(now: number): void {
    while ((this.#samples[0]?.at ?? Infinity) <= now - WINDOW_MS) this.#samples.shift();
  }
}
