import { ImgcopyError, isAbort, systemErrorCode } from '../../errors/imgcopy-error.ts';
import { ConnectFailure, type Failure, type OptionName } from '../connect/connect-failure.ts';
import type { HttpRequest } from './send.ts';

const CODES: Readonly<Record<Failure, string>> = {
  unresolved: 'ERR_NAME_NOT_RESOLVED',
  refused: 'ERR_CONNECTION_REFUSED',
  proxy: 'ERR_PROXY',
  'proxy-denied': 'ERR_PROXY',
  timeout: 'ERR_TIMEOUT',
  slow: 'ERR_SOURCE_TOO_SLOW',
  tls: 'ERR_TLS',
  certificate: 'ERR_TLS_CERTIFICATE',
  'client-certificate': 'ERR_TLS_CLIENT_CERTIFICATE',
  lost: 'ERR_CONNECTION_LOST',
};

const HINTS: Readonly<Record<Failure, (option: OptionName) => string>> = {
  unresolved: () => 'check the name of the registry, and that this machine can resolve it',
  refused: () => 'check host and port, and that the registry is running',
  proxy: () =>
    'check the proxy that HTTPS_PROXY or HTTP_PROXY names, or list the host in NO_PROXY to reach it without one',
  'proxy-denied': () => 'ask for access at the proxy, or list the host in NO_PROXY to reach it without the proxy',
  timeout: () => 'check that the server is running, or wait longer with --timeout',
  slow: () => 'accept a slower source with --min-rate; 0 waits however slow it is',
  tls: (option) => `use ${option('plain-http')} if this registry has no TLS`,
  certificate: (option) =>
    `add the authority with ${option('ca-file')}, or skip the check with ${option('tls-verify')}=false`,
  'client-certificate': (option) =>
    `put NAME.cert and NAME.key into a directory and name it with ${option('cert-dir')}, or use certs.d`,
  lost: () => 'run the command again to resume',
};

/** Failures that the same request would meet again. */
const LASTING: ReadonlySet<Failure> = new Set<Failure>(['proxy-denied', 'tls', 'certificate', 'client-certificate']);

/** The request did not get an answer: no connection, or one that broke or fell silent. */
export class NetworkError extends ImgcopyError {
  readonly failure: Failure;
  /** What went wrong, without the request. */
  readonly reason: string;
  readonly #request: Pick<HttpRequest, 'method' | 'url' | 'side'>;

  constructor(
    request: Pick<HttpRequest, 'method' | 'url' | 'side'>,
    failure: Failure,
    cause: unknown,
    /** Told after what went wrong. */
    note: string = '',
  ) {
    const hint = (cause instanceof ConnectFailure && cause.hint) || HINTS[failure];
    super(`${request.method} ${redactUrl(request.url)}: ${reason(cause)}${note}`, {
      code: CODES[failure],
      side: request.side,
      request: `${request.method} ${redactUrl(request.url)}`,
      hint: hint((name) => `--${request.side === 'source' ? 'src' : 'dest'}-${name}`),
      cause,
    });
    this.failure = failure;
    this.reason = reason(cause);
    this.#request = request;
  }

  get origin(): string {
    return this.#request.url.origin;
  }

  /** The same, with something told after it. */
  noting(note: string): NetworkError {
    return new NetworkError(this.#request, this.failure, this.cause, note);
  }

  /** Whether it may not come again: a lost or silent connection, not a refused certificate. */
  get isPassing(): boolean {
    return !LASTING.has(this.failure);
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

/** What OpenSSL makes of an answer in plain HTTP. */
const NOT_TLS = /wrong.version.number|packet.length.too.long|http.request/i;
/** The alerts of servers that want to see a client certificate, or another one. */
const CLIENT_CERTIFICATE =
  /alert.(?:certificate.required|bad.certificate|unsupported.certificate|certificate.(?:revoked|expired|unknown)|unknown.ca|access.denied)/i;

/** By TLS 1.2, OpenSSL's servers say no more to a client without a certificate. */
const HANDSHAKE_REFUSED = /alert.handshake.failure/i;

function classify(error: unknown): Failure {
  if (error instanceof ConnectFailure) return error.failure;
  const code = systemErrorCode(error) ?? '';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'unresolved';
  if (['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH'].includes(code)) return 'refused';
  if (/TIMEOUT|ETIMEDOUT/.test(code)) return 'timeout';
  const told = `${code} ${String(error)}`;
  if (CLIENT_CERTIFICATE.test(told) || HANDSHAKE_REFUSED.test(told)) return 'client-certificate';
  if (/CERT|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|HOSTNAME_MISMATCH/.test(code)) return 'certificate';
  if (code === 'EPROTO' || code.startsWith('ERR_SSL')) return 'tls';
  if (error instanceof AggregateError && error.errors.length > 0) return classify(error.errors[0]);
  return 'lost';
}

function reason(cause: unknown): string {
  const text = `${systemErrorCode(cause)} ${String(cause)}`;
  if (NOT_TLS.test(text)) return 'the server does not speak TLS';
  if (CLIENT_CERTIFICATE.test(text))
    return 'the server refuses this client: it wants a client certificate that it trusts';
  if (HANDSHAKE_REFUSED.test(text)) return 'the server refused the TLS handshake: it may want a client certificate';
  // One for each address of the host.
  if (cause instanceof AggregateError && cause.errors.length > 0)
    return [...new Set(cause.errors.map(reason))].join('; ');
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}
