/** Runs work on the same thing one after the other, and work on different things side by side. */
export class OneAtATime<Key> {
  readonly #last = new Map<Key, Promise<unknown>>();

  /** Begins at once where nothing else is under way for the key; else when all of that has ended, however it ended. */
  run<T>(key: Key, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const mine = before === undefined ? work() : before.then(work, work);
    this.#last.set(key, mine);
    const forget = (): void => {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    };
    mine.then(forget, forget);
    return mine;
  }
}
