interface Waiter {
  readonly weight: number;
  readonly priority: number;
  readonly grant: () => void;
}

/** Gives back what `acquire` took, all but so much of it (default 0). What was given back is not taken again. */
export type Keep = (rest?: number) => void;

/** Gives back what `acquire` took. Calling it again does nothing. */
export type Release = () => void;

export interface AcquireOptions {
  /** How much of the capacity it takes; more than the whole counts as the whole. Default 1. */
  readonly weight?: number;
  /** Higher goes first; equal ones go in the order they came. Default 0. */
  readonly priority?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Bounds work in flight. */
export type Pool = Pick<Semaphore, 'acquire' | 'capacity' | 'resize'>;

/** A counting semaphore whose users take weights and are served by priority. It bounds work in flight, and bytes in memory. */
export class Semaphore {
  #capacity: number;
  #used = 0;
  #waiters: Waiter[] = [];

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get capacity(): number {
    return this.#capacity;
  }

  /** How much is in use. */
  get used(): number {
    return this.#used;
  }

  /** How many wait for their turn. */
  get waiting(): number {
    return this.#waiters.length;
  }

  /** What is in use now above the new capacity stays in use until it is released. */
  resize(capacity: number): void {
    this.#capacity = capacity;
    this.#serve();
  }

  /** Takes the weight if nobody waits and it is free now; undefined if not. */
  tryAcquire(weight: number): Keep | undefined {
    if (this.#waiters.length > 0 || this.#used + weight > this.#capacity) return undefined;
    this.#used += weight;
    return this.#releaseOf(weight);
  }

  /** @throws the signal's reason, when it is aborted before the turn comes. */
  async acquire(options: AcquireOptions = {}): Promise<Keep> {
    const { priority = 0, signal } = options;
    const weight = Math.min(options.weight ?? 1, this.#capacity);
    signal?.throwIfAborted();
    const free = this.tryAcquire(weight);
    if (free !== undefined) return free;
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        reject(signal?.reason as Error);
        this.#serve();
      };
      const waiter: Waiter = {
        weight,
        priority,
        grant: () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      const index = this.#waiters.findIndex((other) => other.priority < priority);
      this.#waiters.splice(index === -1 ? this.#waiters.length : index, 0, waiter);
      this.#serve();
    });
    return this.#releaseOf(weight);
  }

  #releaseOf(weight: number): Keep {
    let left = weight;
    return (rest = 0) => {
      const given = Math.max(0, left - rest);
      left -= given;
      this.#used -= given;
      this.#serve();
    };
  }

  #serve(): void {
    for (let next = this.#waiters[0]; next !== undefined; next = this.#waiters[0]) {
      if (this.#used > 0 && this.#used + next.weight > this.#capacity) return;
      this.#waiters.shift();
      this.#used += next.weight;
      next.grant();
    }
  }
}
