/** Turns SIGINT and SIGTERM into an abort, so that a copy can tidy up; a second one ends the process at once. */
export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  #status: 130 | 143 | undefined;

  constructor() {
    process.on('SIGINT', this.#onInterrupt);
    process.on('SIGTERM', this.#onTerminate);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The exit status that the signal asks for, once one came. */
  get status(): 130 | 143 | undefined {
    return this.#status;
  }

  [Symbol.dispose](): void {
    process.off('SIGINT', this.#onInterrupt);
    process.off('SIGTERM', this.#onTerminate);
  }

  readonly #onInterrupt = (): void => this.#abort(130);

  readonly #onTerminate = (): void => this.#abort(143);

  #abort(status: 130 | 143): void {
    if (this.#status !== undefined) process.exit(status);
    this.#status = status;
    this.#controller.abort();
  }
}
