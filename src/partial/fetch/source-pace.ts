import type { RangeSupport } from '../../contract/blob-chunk-accessor.ts';

/** A source that begins to answer so soon is near, in ms: how fast its first range comes shows whether one stream will do. */
const NEAR_MS = 15;
/** Where the event loop is busy, answers are seen late. So a source that answered anything within so many ms may be near as well. */
const BUSY_NEAR_MS = 40;

/** How long a request waited for its answer, in ms. */
export interface AnswerTiming {
  readonly elapsedMs: number;
  /** For how much of it the event loop had nothing to do. */
  readonly idleMs: number;
}

/** What requests have shown of a source: it holds for all blobs that are read from there. */
export class SourcePace {
  readonly #roundTripMs: () => number | undefined;
  #soonestAnswerMs = Infinity;
  #isNear = false;
  /** Whether one connection is as fast as many, as the blob that measured last has found. */
  isFast = false;

  /** @param roundTripMs  of the fastest request of any kind, where that is known. */
  constructor(roundTripMs: () => number | undefined = () => undefined) {
    this.#roundTripMs = roundTripMs;
  }

  /** Whether the first range shows how fast one stream is. */
  get isNear(): boolean {
    return this.#isNear;
  }

  /** Whether it is near, or may be where the event loop is busy. */
  get mayBeNear(): boolean {
    return Math.min(this.#soonestAnswerMs, this.#roundTripMs() ?? Infinity) <= BUSY_NEAR_MS;
  }

  answered({ elapsedMs, idleMs }: AnswerTiming): void {
    this.#soonestAnswerMs = Math.min(this.#soonestAnswerMs, elapsedMs);
    // What a busy event loop looked at late came from near, if hardly any of the time was spent on waiting.
    if (elapsedMs <= NEAR_MS || (idleMs <= NEAR_MS && this.mayBeNear)) this.#isNear = true;
  }
}

const known = new WeakMap<RangeSupport, SourcePace>();

/** What is known of the source that answers ranges so. */
export function paceOf(rangeSupport: RangeSupport): SourcePace {
  const pace = known.get(rangeSupport) ?? new SourcePace(() => rangeSupport.roundTripMs);
  known.set(rangeSupport, pace);
  return pace;
}
