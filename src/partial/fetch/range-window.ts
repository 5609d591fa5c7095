import { nowMs } from '../../io/clock.ts';

/** What one request for ranges took. */
export interface RangeTiming {
  /** In bytes. */
  readonly bytes: number;
  /** From sending the request to the last byte, in ms. */
  readonly elapsedMs: number;
}

/** A source that begins to answer so soon is near, in ms: how fast its first range comes shows whether one stream will do. */
const NEAR_MS = 15;
/**
 * From here on the event loop is what is short, not the link: more connections to a source that is near would only take more of it. Its answers
 * are seen late then: within so many ms still counts as near.
 */
const BUSY = 0.9;
const BUSY_NEAR_MS = 40;
const FIRST_SIZE = 8;
const MAX_SIZE = 20;
const STEP = 4;
/** A near source that gives less than this much more over many connections than over one is read as one stream. */
const MANY_ARE_FASTER = 1.5;
/** Less than this much more throughput is not worth further connections. */
const WORTHWHILE_GROWTH = 1.15;
/** One connection that moves so much fills the link, or the disk behind it, in bytes a ms. */
const FAST_CONNECTION = 100_000;
/** So many ranges that are ready before their turn are enough. More of them would be fetched once more, should the run be killed. */
const READY_ENOUGH = 3;
const LEAST_SIZE = 4;
/** Ranges in flight of all blobs together. More would share the same line, and all of them are lost should the run be killed. */
const MOST_OF_ALL = 24;
const LEAST_OF_MANY = 2;
/** After a step back, so many windows go by before more is tried again. */
const REST = 8;

/**
 * How many ranges of a blob to ask for at a time: more while the throughput grows by 15 % at least, else a step back. Where a single
 * connection is fast enough by itself, one.
 */
export class RangeWindow {
  readonly #now: () => number;
  readonly #utilization: () => number;
  #size = FIRST_SIZE;
  /** Less than the size where the consumer is slower than the source. */
  #needed = MAX_SIZE;
  #isFast = false;
  #soonestAnswerMs = Infinity;
  #isMeasured = false;
  /** Bytes a ms of the first range of a near source, which came alone, once its answer had begun. */
  #aloneRate: number | undefined;
  /** Bytes a ms in the window before, and its size. */
  #best: { readonly rate: number; readonly size: number } | undefined;
  #rest = 0;
  #since: number;
  #bytes = 0;
  #count = 0;

  readonly #blobs: () => number;

  /**
   * @param options.utilization  how busy the event loop was since it was called last, from 0 to 1.
   * @param options.blobs  how many blobs are read by ranges now, this one included: they share the link.
   */
  constructor(
    options: {
      readonly now?: (() => number) | undefined;
      readonly utilization?: (() => number) | undefined;
      readonly blobs?: (() => number) | undefined;
    } = {},
  ) {
    this.#now = options.now ?? nowMs;
    this.#utilization = options.utilization ?? loopUtilization();
    this.#blobs = options.blobs ?? ((): number => 1);
    this.#since = this.#now();
  }

  /** Requests at a time. */
  get size(): number {
    return Math.min(this.#size, this.#needed, Math.max(LEAST_OF_MANY, Math.floor(MOST_OF_ALL / this.#blobs())));
  }

  /** Requests at a time that the consumer keeps up with. */
  get needed(): number {
    return this.#needed;
  }

  /** Whether one connection is as fast as many: the rest is best read as one stream. */
  get isFast(): boolean {
    return this.#isFast;
  }

  /** Whether it is too soon to say that one stream will not do. */
  get isOpen(): boolean {
    return this.#isNear && !this.#isMeasured;
  }

  get #isNear(): boolean {
    return this.#soonestAnswerMs <= BUSY_NEAR_MS;
  }

  /** @param elapsedMs  how long a request waited for its answer. @returns whether the source is near. */
  answered(elapsedMs: number): boolean {
    const wasNear = this.#isNear;
    this.#soonestAnswerMs = Math.min(this.#soonestAnswerMs, elapsedMs);
    // On a busy machine, or where a server had to wake up, the first answers may come late.
    if (!wasNear && this.#isNear) this.#isMeasured = false;
    return this.#soonestAnswerMs <= NEAR_MS;
  }

  /** @param ready  how many ranges, from the next one on, the consumer finds ready when it comes for the next. */
  consume(ready: number): void {
    if (ready === 0) this.#needed = Math.min(MAX_SIZE, this.#needed + STEP);
    if (ready > READY_ENOUGH) this.#needed = Math.max(LEAST_SIZE, this.size - 1);
  }

  record({ bytes, elapsedMs }: RangeTiming): void {
    if (bytes / Math.max(elapsedMs, 0.1) >= FAST_CONNECTION) this.#isFast = true;
    if (this.#aloneRate === undefined && this.#soonestAnswerMs <= NEAR_MS) {
      this.#aloneRate = bytes / Math.max(elapsedMs - this.#soonestAnswerMs, 0.1);
      this.#since = this.#now();
      return;
    }
    this.#bytes += bytes;
    this.#count += 1;
    if (this.#count < this.#size) return;
    const rate = this.#bytes / Math.max(this.#now() - this.#since, 0.1);
    const isBusy = this.#utilization() >= BUSY;
    const gainsNothing = rate < (this.#aloneRate ?? 0) * MANY_ARE_FASTER;
    if ((isBusy || (gainsNothing && !this.#isMeasured)) && this.#isNear) this.#isFast = true;
    this.#isMeasured = true;
    this.#adapt(rate);
    this.#bytes = 0;
    this.#count = 0;
    this.#since = this.#now();
  }

  #adapt(rate: number): void {
    if (this.#rest > 0) {
      this.#rest -= 1;
      return;
    }
    const best = this.#best;
    if (best === undefined || rate >= best.rate * WORTHWHILE_GROWTH) {
      this.#best = { rate, size: this.#size };
      this.#size = Math.min(MAX_SIZE, this.#size + STEP);
      return;
    }
    this.#size = best.size;
    this.#best = undefined;
    this.#rest = REST;
  }
}

function loopUtilization(): () => number {
  let last = performance.eventLoopUtilization();
  return () => {
    const since = last;
    last = performance.eventLoopUtilization();
    return performance.eventLoopUtilization(last, since).utilization;
  };
}
