import { Attempts, type Failure, type RetryPolicy } from '../../retry/attempts.ts';
import { dumpBody } from './body.ts';
import { peekErrorCodes, type PeekedResponse } from './error-codes.ts';
import { NetworkError, redactUrl } from './network-error.ts';
import { header, isReplayable, type HttpResponse, type Layer } from './send.ts';

/** A name that does not resolve, or a port where nobody listens, is a typo more often than an outage, as long as the host has never answered. */
const TYPO_RETRIES = 1;

export interface RetryOptions {
  /** A host that cannot be connected to, and has not answered before, is given up after one retry. Default false. */
  readonly failsFast?: boolean | undefined;
}

/** Not implemented, HTTP version, and a captive portal that wants a login: the next answer would be the same. */
const LASTING_STATUS: ReadonlySet<number> = new Set([501, 505, 511]);

/** Refusals that no retry changes, whatever their status. BLOB_UNKNOWN is not one: a registry's storage may be a moment behind. */
const LASTING_CODES: ReadonlySet<string> = new Set([
  'DENIED',
  'DIGEST_INVALID',
  'MANIFEST_BLOB_UNKNOWN',
  'MANIFEST_INVALID',
  'MANIFEST_UNVERIFIED',
  'NAME_INVALID',
  'NAME_UNKNOWN',
  'SIZE_INVALID',
  'TAG_INVALID',
  'UNSUPPORTED',
]);

/** Sends a request again after passing failures, when its body can be sent again. The last answer or error is handed on as it is. */
export function retry(policy: RetryPolicy, { failsFast = false }: RetryOptions = {}): Layer {
  const answered = new Set<string>();
  return (next) => async (request) => {
    if (!isReplayable(request)) return await next(request);
    const { observer, side, signal } = request;
    const what = `${request.method} ${redactUrl(request.url)}`;
    const attempts = new Attempts({
      policy: { ...policy, retries: Math.min(request.retries ?? Infinity, policy.retries) },
      signal,
      notify: (retried) => observer?.onRetry?.({ side, what, ...retried }),
    });
    for (;;) {
      const outcome = await next(request)
        .then((response) => peekErrorCodes(request, response))
        .catch((error: unknown) => ({ error }));
      if ('response' in outcome) answered.add(request.url.host);
      const mayBeTypo = failsFast && !answered.has(request.url.host);
      const failure = signal?.aborted ? undefined : failureOf(outcome, { now: policy.now(), mayBeTypo });
      const letGo = 'response' in outcome ? () => dumpBody(outcome.response) : undefined;
      if (failure !== undefined && (await attempts.again(failure, letGo))) continue;
      if ('error' in outcome) throw outcome.error;
      return outcome.response;
    }
  };
}

function failureOf(
  outcome: PeekedResponse | { readonly error: unknown },
  { now, mayBeTypo }: { readonly now: number; readonly mayBeTypo: boolean },
): Failure | undefined {
  if ('error' in outcome) {
    const { error } = outcome;
    if (!isPassing(error)) return undefined;
    const isUnreachable = error.failure === 'unresolved' || error.failure === 'refused';
    return { why: error.message, ...(mayBeTypo && isUnreachable && { maxRetries: TYPO_RETRIES }) };
  }
  const { response, codes } = outcome;
  const { status } = response;
  const rest = { why: `${status}`, waitMs: retryAfterMs(response, now) };
  if (isRateLimit(status, codes)) return { ...rest, costs: 'wait' };
  return isPassingAnswer(status, codes) ? rest : undefined;
}

/**
 * Whether an answer may be another one the next time: 408 and 499, where somebody lost patience with a connection, and every status from 500 on but
 * 501, 505 and 511. Not where the registry says, under such a status, that it refuses for good.
 */
export function isPassingAnswer(status: number, codes: readonly string[]): boolean {
  if (codes.some((code) => LASTING_CODES.has(code))) return false;
  return status === 408 || status === 499 || (status >= 500 && !LASTING_STATUS.has(status));
}

/** Whether a registry wants to be asked less often: some say so by the code alone, under another status. */
export function isRateLimit(status: number, codes: readonly string[]): boolean {
  return status === 429 || codes.includes('TOOMANYREQUESTS');
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
  return error instanceof NetworkError && error.isPassing;
}
