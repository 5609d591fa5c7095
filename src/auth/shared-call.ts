import { orAborted } from '../io/or-aborted.ts';

/**
 * One piece of work that many wait for. Each may give up by its own signal; the work itself is aborted when the last of them has.
 */
export class SharedCall<T> {
  readonly #controller = new AbortController();
  readonly #result: Promise<T>;
  #joined = 0;

  constructor(work: (signal: AbortSignal) => Promise<T>) {
    this.#result = work(this.#controller.signal);
    // Who waits sees the failure; when nobody does any more, nobody needs to.
    this.#result.catch(() => undefined);
  }

  /** Whether all who waited have gone; it is no use to join then. */
  get isOver(): boolean {
    return this.#controller.signal.aborted;
  }

  /** @throws what the work throws, or the signal's reason. */
  async join(signal: AbortSignal | undefined): Promise<T> {
    this.#joined += 1;
    try {
      return await orAborted(this.#result, signal);
    } finally {
      this.#joined -= 1;
      if (this.#joined === 0) this.#controller.abort();
    }
  }
}
