import { nowMs } from '../../io/clock.ts';

/** So many ms of a stream show what holds it up. */
const WATCHED_MS = 250;
/** A connection does where it is waited for as much of the time, by an event loop with as little to do. */
const HELD_UP = 0.8;
const IDLE = 0.5;

export interface StreamWatchOptions {
  /** How busy the event loop was since it was called last, from 0 to 1. */
  readonly utilization: () => number;
  readonly now?: (() => number) | undefined;
}

/** Looks at a stream as it is read, to find out whether its connection is what holds it up: then several would be faster. */
export class StreamWatch {
  readonly #now: () => number;
  readonly #utilization: () => number;
  #since: number;
  #asked: number;
  #waitedMs = 0;
  #bytes = 0;

  constructor({ utilization, now = nowMs }: StreamWatchOptions) {
    this.#now = now;
    this.#utilization = utilization;
    this.#since = this.#asked = now();
    utilization();
  }

  /** To be called when bytes came. */
  came(bytes: number): void {
    this.#waitedMs += this.#now() - this.#asked;
    this.#bytes += bytes;
  }

  /**
   * To be called before the next bytes are asked for.
   * @returns the stream's bytes a ms, where its connection holds it up.
   */
  heldUpRate(): number | undefined {
    this.#asked = this.#now();
    const elapsedMs = this.#asked - this.#since;
    if (elapsedMs < WATCHED_MS) return undefined;
    const isHeldUp = this.#utilization() < IDLE && this.#waitedMs >= elapsedMs * HELD_UP;
    const rate = this.#bytes / elapsedMs;
    this.#since = this.#asked;
    this.#waitedMs = 0;
    this.#bytes = 0;
    return isHeldUp ? rate : undefined;
  }
}
