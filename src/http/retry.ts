import { setTimeout as delay } from 'node:timers/promises';
import { dumpBody } from './body.ts';
import { NetworkError, redactUrl } from './network-error.ts';
import { header, isReplayable, type HttpRequest, type HttpResponse, type Layer, type Retry } from './send.ts';

/** How often and after how long a request is sent again. */
export interface RetryPolicy {
  /** Retries after the first try. */
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

/** Retry-After is obeyed up to here; a host that wants more is asked again then. */
const MAX_RETRY_AFTER_MS = 5 * 60_000;
/** How often a 429 is waited out; such waits cost no retries. */
const MAX_RATE_LIMIT_WAITS = 8;
/** A name that does not resolve is a typo more often than an outage. */
const NAME_RETRIES = 1;

/**
 * 408: the server lost patience with a connection; 5xx but 501 and 505: passing faults of a server or of what stands before it. What is
 * not listed will be answered the same way again.
 */
const PASSING_STATUS: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/** Sends a request again after passing failures, when its body can be sent again. The last answer or error is handed on as it is. */
export function retry(policy: RetryPolicy): Layer {
  return (next) => async (request) => {
    const retries = request.retries ?? policy.retries;
    let used = 0;
    let rateLimited = 0;
    for (;;) {
      const outcome = await next(request).then(
        (response) => ({ response }),
        (error: unknown) => ({ error }),
      );
      if (!isReplayable(request) || request.signal?.aborted) return settle(outcome);
      let delayMs = backoff(policy, used);
      if ('response' in outcome) {
        const { response } = outcome;
        if (!PASSING_STATUS.has(response.status)) return response;
        const wanted = retryAfterMs(response, policy.now());
        delayMs = Math.min(MAX_RETRY_AFTER_MS, Math.max(delayMs, wanted ?? 0));
        if (response.status === 429 ? rateLimited >= MAX_RATE_LIMIT_WAITS : used >= retries) return response;
        if (retries === 0) return response;
        if (response.status === 429) {
          rateLimited += 1;
          if (wanted === undefined) delayMs = backoff(policy, rateLimited);
        } else used += 1;
        await dumpBody(response);
        request.observer?.onRetry?.({ ...named(request), why: `${response.status}`, delayMs });
      } else {
        if (!isPassing(outcome.error) || used >= allowed(outcome.error, retries)) throw outcome.error;
        used += 1;
        request.observer?.onRetry?.({ ...named(request), why: outcome.error.message, delayMs });
      }
      await policy.sleep(delayMs, request.signal);
    }
  };
}

/** Exponential, with full jitter over its upper half. */
export function backoff(policy: RetryPolicy, used: number): number {
  const ceiling = Math.min(policy.maxDelayMs, policy.delayMs * 2 ** used);
  return Math.round(ceiling * (0.5 + policy.random() / 2));
}

/** Retry-After in ms from now, given in seconds or as a date. */
export function retryAfterMs(response: Pick<HttpResponse, 'headers'>, now: number): number | undefined {
  const value = header(response, 'retry-after')?.trim();
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** Whether an error may not come again: a lost or silent connection, not a refused certificate. */
export function isPassing(error: unknown): error is NetworkError {
  return error instanceof NetworkError && error.failure !== 'certificate' && error.failure !== 'tls';
}

function named(request: HttpRequest): Pick<Retry, 'side' | 'what'> {
  return { side: request.side, what: `${request.method} ${redactUrl(request.url)}` };
}

function allowed(error: NetworkError, retries: number): number {
  return error.failure === 'unresolved' ? Math.min(NAME_RETRIES, retries) : retries;
}

function settle(outcome: { response: HttpResponse } | { error: unknown }): HttpResponse {
  if ('response' in outcome) return outcome.response;
  throw outcome.error;
}
