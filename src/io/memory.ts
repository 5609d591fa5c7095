import { Semaphore, type Keep } from './semaphore.ts';

/** What an account gets in any case, beside the budget where that has no room, in bytes. */
export const SPARE_BYTES: number = 256 * 1024;

/**
 * Memory for bodies, shared by all copies of a run. It is handed out to accounts alone, one for each blob in flight, and an account never waits
 * while it holds some. So nobody who waits for memory keeps it from others, and there is no deadlock, whoever takes it for what.
 */
export class MemoryBudget {
  readonly #bytes: Semaphore;
  readonly #readers: Counter = { count: 0 };

  /** @param bytes  in all. */
  constructor(bytes: number) {
    this.#bytes = new Semaphore(bytes);
  }

  /** In all. */
  get bytes(): number {
    return this.#bytes.capacity;
  }

  /** How many bytes are handed out. */
  get used(): number {
    return this.#bytes.used;
  }

  /** Opens an account: all that is done for one blob takes its memory from that. */
  openAccount(): MemoryAccount {
    return new MemoryAccount(this.#bytes, this.#readers);
  }
}

interface Counter {
  count: number;
}

/** The memory of all that works for one blob. */
export class MemoryAccount {
  readonly #budget: Semaphore;
  readonly #readers: Counter;
  #held = 0;
  #isWaiting = false;

  constructor(budget: Semaphore, readers: Counter) {
    this.#budget = budget;
    this.#readers = readers;
  }

  /** How many readers, of all blobs of the budget, read ahead now. */
  get readers(): number {
    return this.#readers.count;
  }

  /** Counts a reader that reads ahead, until it is disposed of. */
  countReader(): Disposable {
    this.#readers.count += 1;
    return { [Symbol.dispose]: () => void (this.#readers.count -= 1) };
  }

  /** How many bytes it holds now. */
  get held(): number {
    return this.#held;
  }

  /** The most that an account can hold, in bytes. */
  get most(): number {
    return this.#budget.capacity;
  }

  /**
   * Takes memory. It waits for its turn only while this account holds none: else it takes what is free now.
   * @param bytes  more than the whole budget counts as the whole.
   * @returns undefined where there is none and waiting is not allowed: the caller does without, or with `takeSome`.
   * @throws the signal's reason, when it is aborted before the turn comes.
   */
  async take(
    bytes: number,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<MemoryShare | undefined> {
    if (this.#held > 0 || this.#isWaiting) return this.takeNow(bytes);
    this.#isWaiting = true;
    try {
      return this.#shareOf(bytes, await this.#budget.acquire({ weight: bytes, signal: options.signal }));
    } finally {
      this.#isWaiting = false;
    }
  }

  /** Takes memory that is free now, or none. */
  takeNow(bytes: number): MemoryShare | undefined {
    const keep = this.#tryAcquire(bytes);
    return keep && this.#shareOf(bytes, keep);
  }

  /** Takes what is free now, at most `bytes`. It always gets 256 KiB, or as few bytes as it asks for: what is needed next must not wait. */
  takeSome(bytes: number): MemoryShare {
    const free = Math.min(bytes, this.#budget.capacity - this.#budget.used);
    const share = free >= Math.min(bytes, SPARE_BYTES) ? this.takeNow(free) : undefined;
    return share ?? this.#shareOf(Math.min(bytes, SPARE_BYTES), () => undefined);
  }

  #tryAcquire(bytes: number): Keep | undefined {
    return this.#isWaiting ? undefined : this.#budget.tryAcquire(bytes);
  }

  #shareOf(bytes: number, keep: Keep): MemoryShare {
    const add = (more: number): void => void (this.#held += more);
    return new MemoryShare(bytes, keep, { add, tryAcquire: (more) => this.#tryAcquire(more) });
  }
}

interface Holder {
  /** Counts bytes that are held; fewer, where negative. */
  readonly add: (bytes: number) => void;
  readonly tryAcquire: (bytes: number) => Keep | undefined;
}

/** Memory that was taken. To be disposed of, once nothing is kept in it any more. */
export class MemoryShare implements Disposable {
  readonly #holder: Holder;
  /** Each gives back a part, the newest last. */
  readonly #parts: { bytes: number; readonly keep: Keep }[] = [];
  #bytes = 0;

  constructor(bytes: number, keep: Keep, holder: Holder) {
    this.#holder = holder;
    this.#add(bytes, keep);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Takes more, where it is free now. @returns whether it was. */
  grow(bytes: number): boolean {
    const keep = this.#holder.tryAcquire(bytes);
    if (keep !== undefined) this.#add(bytes, keep);
    return keep !== undefined;
  }

  /** Gives back all but so many bytes. */
  shrinkTo(bytes: number): void {
    for (let last = this.#parts.at(-1); last !== undefined && this.#bytes > bytes; last = this.#parts.at(-1)) {
      const surplus = Math.min(last.bytes, this.#bytes - bytes);
      last.bytes -= surplus;
      this.#bytes -= surplus;
      this.#holder.add(-surplus);
      if (last.bytes === 0) this.#parts.pop();
      last.keep(last.bytes);
    }
  }

  [Symbol.dispose](): void {
    this.shrinkTo(0);
  }

  #add(bytes: number, keep: Keep): void {
    this.#parts.push({ bytes, keep });
    this.#bytes += bytes;
    this.#holder.add(bytes);
  }
}
