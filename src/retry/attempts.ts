import { setTimeout as delay } from 'node:timers/promises';

/** How often and after how long something that failed is tried again. */
export interface RetryPolicy {
  /** Retries after the first try; 0 means that nothing is tried again, rate limits included. */
  readonly retries: number;
  /** Before the first retry, in ms; doubles with each up to `maxDelayMs`. */
  readonly delayMs: number;
  readonly maxDelayMs: number;
  /** From 0 to 1; replaced in tests. */
  readonly random: () => number;
  readonly sleep: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
  readonly now: () => number;
}

export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  retries: 5,
  delayMs: 500,
  maxDelayMs: 30_000,
  random: Math.random,
  sleep: (ms, signal) => delay(ms, undefined, { signal }),
  now: Date.now,
};

/**
 * What another try costs. `retry`: one of the policy's retries. `wait`: the server limits how often it may be asked, and waiting is no failure.
 * `lesson`: the next try takes another way, for the server refused this one; it follows at once, even where the policy has no retries.
 */
export type Cost = 'retry' | 'wait' | 'lesson';

/** A try that failed, where another one may succeed. */
export interface Failure {
  /** For people. */
  readonly why: string;
  /** Default `retry`. */
  readonly costs?: Cost | undefined;
  /** How long the server wants to be left alone, in ms. Obeyed up to five minutes. */
  readonly waitMs?: number | undefined;
  /** Fewer retries than the policy has are enough for this kind of failure. */
  readonly maxRetries?: number | undefined;
}

/** What earlier tries have cost. */
export type Spent = Readonly<Record<Cost, number>>;

export type Judgement = { readonly again: false } | { readonly again: true; readonly delayMs: number };

/** Told before each wait. */
export interface NextAttempt {
  readonly why: string;
  readonly delayMs: number;
}

export interface AttemptsOptions {
  readonly policy: RetryPolicy;
  readonly signal?: AbortSignal | undefined;
  readonly notify: (next: NextAttempt) => void;
  /** So many new bytes make the next failure count as the first. Default 1 MiB. */
  readonly progressBytes?: number | undefined;
}

/** Retry-After is obeyed up to here; a host that wants more is asked again then. */
const MAX_WAIT_MS = 5 * 60_000;
const MAX_WAITS = 8;
/** More ways than this a server cannot refuse; a bound all the same. */
const MAX_LESSONS = 16;
const PROGRESS = 1024 * 1024;

/**
 * The tries of one piece of work: a request, the rest of a body, a blob. All that is tried again goes through here, so that each wait is told and
 * each budget counted in one way.
 */
export class Attempts {
  readonly #options: AttemptsOptions;
  #spent: Spent = NOTHING;
  /** Where the budget was whole the last time. */
  #freshAt = 0;

  constructor(options: AttemptsOptions) {
    this.#options = options;
  }

  /**
   * Judges a failure; where another try is due, says so and waits for it.
   *
   * @param letGo  frees what the failed try still holds; called before the wait.
   * @returns false when the budget is spent: the caller hands the failure on.
   * @throws the signal's reason, when it is aborted.
   */
  async again(failure: Failure, letGo?: () => Promise<void>): Promise<boolean> {
    const { policy, signal, notify } = this.#options;
    signal?.throwIfAborted();
    const judgement = judge(failure, this.#spent, policy);
    if (!judgement.again) return false;
    const { costs = 'retry' } = failure;
    this.#spent = { ...this.#spent, [costs]: this.#spent[costs] + 1 };
    await letGo?.();
    notify({ why: failure.why, delayMs: judgement.delayMs });
    if (judgement.delayMs > 0) await policy.sleep(judgement.delayMs, signal);
    return true;
  }

  /**
   * Notes how far the work has come, in bytes. Only what was never reached before is progress: who goes back and forth would never end.
   */
  reached(position: number): void {
    if (position < this.#freshAt + (this.#options.progressBytes ?? PROGRESS)) return;
    this.#spent = NOTHING;
    this.#freshAt = position;
  }
}

const NOTHING: Spent = { retry: 0, wait: 0, lesson: 0 };

/** Whether a failure is followed by another try, and when. */
export function judge(failure: Failure, spent: Spent, policy: RetryPolicy): Judgement {
  const { costs = 'retry', waitMs = 0, maxRetries = Infinity } = failure;
  const { retries } = policy;
  const budget: Spent = {
    retry: Math.min(retries, maxRetries),
    wait: retries === 0 ? 0 : MAX_WAITS,
    lesson: MAX_LESSONS,
  };
  if (spent[costs] >= budget[costs]) return { again: false };
  if (costs === 'lesson') return { again: true, delayMs: 0 };
  const used = costs === 'wait' && failure.waitMs === undefined ? spent.wait + 1 : spent.retry;
  return { again: true, delayMs: Math.min(MAX_WAIT_MS, Math.max(backoff(policy, used), waitMs)) };
}

/** Exponential, with full jitter over its upper half. */
export function backoff(policy: RetryPolicy, used: number): number {
  const ceiling = Math.min(policy.maxDelayMs, policy.delayMs * 2 ** used);
  return Math.round(ceiling * (0.5 + policy.random() / 2));
}
