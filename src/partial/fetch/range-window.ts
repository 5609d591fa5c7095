import { nowMs } from '../../io/clock.ts';
import { StreamWatch } from './stream-watch.ts';
import { SourcePace, type AnswerTiming } from './source-pace.ts';

/** What one request for ranges took. */
export interface RangeTiming {
  /** In bytes. */
  readonly bytes: number;
  /** From sending the request to the last byte, in ms. */
  readonly elapsedMs: number;
}

/** From here on the event loop is what is short, not the link: more connections to a source that is near would only take more of it. */
const BUSY = 0.9;
const FIRST_SIZE = 8;
const MAX_SIZE = 20;
const STEP = 4;
/** A near source that gives less than this much more over many connections than over one is read as one stream. */
const MANY_ARE_FASTER = 1.5;
/** Less than this much more throughput is not worth further connections. */
const WORTHWHILE_GROWTH = 1.15;
/** One connection that moves so much fills the link, or the disk behind it, in bytes a ms. */
export const FAST_CONNECTION = 100_000;
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
  /** Set once one stream was too slow, after all: what was measured of other blobs does not count any more. */
  #hasLeftStream = false;
  #isFast = false;
  #wasNear = false;
  #isMeasured = false;
  /** When the answer to the first range of a near source began. */
  #beganAloneAt: number | undefined;
  /** Bytes a ms of what came alone from a near source: its first range, once its answer had begun, or a stream. */
  #aloneRate: number | undefined;
  /** Bytes a ms in the window before, and its size. */
  #best: { readonly rate: number; readonly size: number } | undefined;
  #rest = 0;
  #since: number;
  #bytes = 0;
  #count = 0;

  readonly #blobs: () => number;
  readonly #pace: SourcePace;

  /**
   * @param options.pace  what is known of the source. Default: nothing.
   * @param options.utilization  how busy the event loop was since it was called last, from 0 to 1.
   * @param options.blobs  how many blobs are read by ranges now, this one included: they share the link.
   */
  constructor(
    options: {
      readonly now?: (() => number) | undefined;
      readonly utilization?: (() => number) | undefined;
      readonly blobs?: (() => number) | undefined;
      readonly pace?: SourcePace | undefined;
    } = {},
  ) {
    this.#now = options.now ?? nowMs;
    this.#utilization = options.utilization ?? loopUtilization();
    this.#blobs = options.blobs ?? ((): number => 1);
    this.#pace = options.pace ?? new SourcePace();
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
    return this.#isFast || (this.#pace.isFast && !this.#hasLeftStream);
  }

  /** Whether it is too soon to say that one stream will not do. */
  get isOpen(): boolean {
    return this.#pace.mayBeNear && !this.#isMeasured;
  }

  /** @returns whether the source is near. */
  answered(timing: AnswerTiming): boolean {
    this.#pace.answered(timing);
    // On a busy machine, or where a server had to wake up, the first answers may come late.
    if (!this.#wasNear && this.#pace.mayBeNear) this.#isMeasured = false;
    this.#wasNear = this.#pace.mayBeNear;
    if (this.#pace.isNear && this.#beganAloneAt === undefined) {
      this.#beganAloneAt = this.#now();
      this.#utilization();
    }
    return this.#pace.isNear;
  }

  /** @param ready  how many ranges, from the next one on, the consumer finds ready when it comes for the next. */
  consume(ready: number): void {
    if (ready === 0) this.#needed = Math.min(MAX_SIZE, this.#needed + STEP);
    if (ready > READY_ENOUGH) this.#needed = Math.max(LEAST_SIZE, this.size - 1);
  }

  record({ bytes, elapsedMs }: RangeTiming): void {
    // A server may let the first bytes of each answer go faster than the rest.
    if (!this.#hasLeftStream && bytes / Math.max(elapsedMs, 0.1) >= FAST_CONNECTION) this.#takeOneStream();
    if (this.#aloneRate === undefined && this.#beganAloneAt !== undefined) {
      this.#aloneRate = bytes / Math.max(Math.min(this.#now() - this.#beganAloneAt, elapsedMs), 0.1);
      if (this.#aloneRate >= FAST_CONNECTION || this.#utilization() >= BUSY) this.#takeOneStream();
      this.#since = this.#now();
      return;
    }
    this.#bytes += bytes;
    this.#count += 1;
    if (this.#count < this.#size) return;
    const rate = this.#bytes / Math.max(this.#now() - this.#since, 0.1);
    const isBusy = this.#utilization() >= BUSY;
    // Where one alone was not measured, many may be no faster.
    const gainsNothing = rate < (this.#aloneRate ?? (isBusy ? Infinity : 0)) * MANY_ARE_FASTER;
    if (gainsNothing && (isBusy || !this.#isMeasured) && this.#pace.mayBeNear) this.#takeOneStream();
    this.#isMeasured = true;
    this.#adapt(rate);
    this.#bytes = 0;
    this.#count = 0;
    this.#since = this.#now();
  }

  /**
   * Looks at a stream that was taken for as fast as many connections; once for each blob.
   * @returns undefined where the blob has left a stream before.
   */
  watchStream(): StreamWatch | undefined {
    return this.#hasLeftStream ? undefined : new StreamWatch({ now: this.#now, utilization: this.#utilization });
  }

  /** Reads the rest by ranges: the connection held the stream up, to so many bytes a ms. */
  leaveStream(rate: number): void {
    this.#hasLeftStream = true;
    this.#pace.isFast = false;
    this.#isFast = false;
    this.#isMeasured = false;
    this.#aloneRate = rate;
    this.#bytes = 0;
    this.#count = 0;
    this.#since = this.#now();
  }

  #takeOneStream(): void {
    this.#isFast = true;
    this.#pace.isFast = true;
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
