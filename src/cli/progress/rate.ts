/** Older bytes say nothing about the current speed, in ms. */
const WINDOW_MS = 4_000;
/** Samples that are closer together count as one, in ms. */
const STEP_MS = 200;

/** How fast bytes move, measured over the last few seconds. */
export class Rate {
  readonly #samples: { readonly at: number; bytes: number }[] = [];
  readonly #startedAt: number;
  readonly #windowMs: number;

  /**
   * @param startedAt  in ms, of the clock that all calls use.
   * @param windowMs  how many milliseconds count. Default 4000.
   */
  constructor(startedAt: number, windowMs: number = WINDOW_MS) {
    this.#startedAt = startedAt;
    this.#windowMs = windowMs;
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
    const elapsed = Math.min(this.#windowMs, Math.max(now - this.#startedAt, STEP_MS));
    return (bytes / elapsed) * 1000;
  }

  #forget(now: number): void {
    while ((this.#samples[0]?.at ?? Infinity) <= now - this.#windowMs) this.#samples.shift();
  }
}
