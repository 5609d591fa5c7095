/** What kind of failure it was that a request got no answer. */
export type Failure =
  | 'unresolved'
  /** Bytes come, but too few. */
  | 'slow'
  | 'refused'
  /** The proxy cannot be reached, or cannot reach the server. */
  | 'proxy'
  /** The proxy wants other credentials, or allows no connection to this server. */
  | 'proxy-denied'
  | 'timeout'
  /** The server does not speak TLS, or not as it should. */
  | 'tls'
  /** The server's certificate is not accepted here. */
  | 'certificate'
  /** The server does not accept the client's certificate, or misses one. */
  | 'client-certificate'
  | 'lost';

/** Writes the name of an option for the side that failed: `ca-file` becomes `--src-ca-file`. */
export type OptionName = (name: string) => string;

export interface ConnectFailureOptions {
  /** What the user can do about it; default: the hint for this kind of failure. */
  readonly hint?: ((option: OptionName) => string) | undefined;
  readonly cause?: unknown;
}

/** No connection came about, and why. */
export class ConnectFailure extends Error {
  readonly code = 'ERR_CONNECT';
  readonly failure: Failure;
  readonly hint: ((option: OptionName) => string) | undefined;

  constructor(failure: Failure, message: string, { hint, cause }: ConnectFailureOptions = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.failure = failure;
    this.hint = hint;
  }
}
