export { LONG_BODY } from './send/body-handler.ts';
export { dumpBody, readBody } from './send/body.ts';
export { atOrigin, exactText, requestTarget, resolveUrl, withQuery } from './send/exact-url.ts';
export { collect } from './send/collect.ts';
export { HostGates } from './send/gate.ts';
export { minRate } from './send/min-rate.ts';
export { limitRate } from './send/rate-limit.ts';
export { NetworkError, redactUrl, toNetworkError } from './send/network-error.ts';
export { redirect } from './send/redirect.ts';
export { isPassing, isPassingAnswer, isRateLimit, retry } from './send/retry.ts';
export type { RetryPolicy } from '../retry/attempts.ts';
export {
  compose,
  header,
  type Fallback,
  type Headers,
  type HttpRequest,
  type HttpResponse,
  type Layer,
  type Method,
  type RequestBody,
  type RequestKind,
  type RequestObserver,
  type Retry,
  type Send,
} from './send/send.ts';
export { Trust, type TlsSettings } from './connect/trust.ts';
export { openConnections, type Connections } from './send/undici-send.ts';
