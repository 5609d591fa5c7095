import { ImgcopyError, isAbort, systemErrorCode } from '../errors/imgcopy-error.ts';
import type { HttpRequest } from './send.ts';

type Failure = 'unresolved' | 'refused' | 'proxy' | 'timeout' | 'tls' | 'certificate' | 'lost';

const CODES: Readonly<Record<Failure, string>> = {
  unresolved: 'ERR_NAME_NOT_RESOLVED',
  refused: 'ERR_CONNECTION_REFUSED',
  proxy: 'ERR_PROXY',
  timeout: 'ERR_TIMEOUT',
  tls: 'ERR_TLS',
  certificate: 'ERR_TLS_CERTIFICATE',
  lost: 'ERR_CONNECTION_LOST',
};

const HINTS: Readonly<Record<Failure, string>> = {
  unresolved: 'check the name of the registry, and that this machine can resolve it',
  refused: 'check host and port, and that the registry is running',
  proxy: 'check the proxy that HTTPS_PROXY or HTTP_PROXY names; NO_PROXY lists the hosts that are asked without it',
  timeout: 'the peer is silent; --timeout sets how long to wait for it',
  tls: 'the peer does not speak TLS as expected; --plain-http is for registries without TLS',
  certificate: 'give the certificate authority with --ca-file, or switch the check off with --tls-verify=false',
  lost: 'the connection broke; run the command again to go on',
};

/** The request did not get an answer: no connection, or one that broke or fell silent. */
export class NetworkError extends ImgcopyError {
  readonly failure: Failure;

  constructor(request: Pick<HttpRequest, 'method' | 'url' | 'side'>, failure: Failure, cause: unknown) {
    super(`${request.method} ${redactUrl(request.url)}: ${reason(cause)}`, {
      code: CODES[failure],
      side: request.side,
      request: `${request.method} ${redactUrl(request.url)}`,
      hint: HINTS[failure],
      cause,
    });
    this.failure = failure;
  }
}

/** Wraps what a failed request or body threw; aborts, ImgcopyErrors and mistakes of our own (which have no code) are handed back as they are. */
export function toNetworkError(error: unknown, request: Pick<HttpRequest, 'method' | 'url' | 'side'>): unknown {
  if (isAbort(error) || error instanceof ImgcopyError || systemErrorCode(error) === undefined) return error;
  if (isOfFile(error)) return error;
  return new NetworkError(request, classify(error), error);
}

/** Whether an error is that of a file whose bytes were on their way: those of sockets that have such codes come from `connect`. */
function isOfFile(error: unknown): boolean {
  const code = systemErrorCode(error) ?? '';
  const isConnecting =
    error instanceof Error && 'syscall' in error && /^(?:connect|bind|getaddrinfo)$/.test(String(error.syscall));
  return FILE_CODES.has(code) && !isConnecting;
}

const FILE_CODES: ReadonlySet<string> = new Set([
  'EACCES',
  'EPERM',
  'EIO',
  'ENOENT',
  'EISDIR',
  'ENOSPC',
  'EDQUOT',
  'EROFS',
  'ESTALE',
]);

/** A URL as messages may show it: without userinfo and query, which may hold secrets. */
export function redactUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

function classify(error: unknown): Failure {
  const code = systemErrorCode(error) ?? '';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'unresolved';
  if (['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH'].includes(code)) return 'refused';
  if (/TIMEOUT|ETIMEDOUT/.test(code)) return 'timeout';
  if (/CERT|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|HOSTNAME_MISMATCH/.test(code)) return 'certificate';
  if (code === 'EPROTO' || code.startsWith('ERR_SSL')) return 'tls';
  if (error instanceof AggregateError && error.errors.length > 0) return classify(error.errors[0]);
  return 'lost';
}

function reason(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return reason(cause.errors[0]);
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}
