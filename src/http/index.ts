export { dumpBody, readBody } from './body.ts';
export { atOrigin, exactText, requestTarget, resolveUrl, withQuery } from './exact-url.ts';
export { collect } from './collect.ts';
export { HostGates } from './gate.ts';
export { limitRate } from './rate-limit.ts';
export { NetworkError, redactUrl, toNetworkError } from './network-error.ts';
export { redirect } from './redirect.ts';
export { isPassing, isPassingAnswer, isRateLimit, retry } from './retry.ts';
export { backoff, type RetryPolicy } from '../retry/attempts.ts';
export {
  compose,
  header,
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
} from './send.ts';
export { Trust, type TlsSettings } from './connect/trust.ts';
export { openConnections, type Connections } from './undici-send.ts';
