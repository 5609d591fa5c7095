/** The end of a copy that an error happened at. */
export type Side = 'source' | 'destination';

/** What class of failure an error is; the CLI's exit status follows from it. */
export type ErrorKind = 'failed' | 'usage' | 'not-found' | 'denied' | 'integrity' | 'rate-limited';

export interface ImgcopyErrorOptions {
  /** Stable name for scripts and tests, `ERR_` and capitals. */
  readonly code: string;
  /** Default: the cause's kind where it has one, else `failed`. */
  readonly kind?: ErrorKind;
  readonly side?: Side;
  /** The request that failed, for people and logs: `GET https://registry.test/v2/app/manifests/1`, without secrets. */
  readonly request?: string;
  /** What the user can do about it, one sentence without a final full stop. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/**
 * The base of every error that imgcopy throws on purpose. The message says what failed, with what was expected and found;
 * `cause` leads to the request or the system call underneath. Kind, side, request and hint are taken from the cause where they are not given.
 */
export class ImgcopyError extends Error {
  readonly code: string;
  readonly kind: ErrorKind;
  readonly side: Side | undefined;
  readonly request: string | undefined;
  readonly hint: string | undefined;
  /** Which destination `side` is, in a copy that has an id for it. Noted by `forDestination`. */
  destinationId: string | undefined;

  constructor(message: string, options: ImgcopyErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    // In the bundle, esbuild puts an underscore before the name of a class that names itself: https://github.com/evanw/esbuild/issues/3516
    this.name = new.target.name.replace(/^_/, '');
    const cause = options.cause instanceof ImgcopyError ? options.cause : undefined;
    this.code = options.code;
    this.kind = options.kind ?? cause?.kind ?? 'failed';
    this.side = options.side ?? cause?.side;
    this.request = options.request ?? cause?.request;
    this.hint = options.hint ?? cause?.hint;
    this.destinationId = cause?.destinationId;
  }
}

/** Where something happened: at the source, or at a destination, which may have an id of its own. */
export interface CopyEnd {
  readonly side?: Side | undefined;
  readonly destinationId?: string | undefined;
}

/** What messages call an end of a copy: a destination by its id, where it has one. */
export function endName({ side, destinationId }: CopyEnd): string | undefined {
  return side === 'destination' ? (destinationId ?? side) : side;
}

/** Does the work for one destination of a copy: an error of that side says which one it happened at. */
export async function forDestination<T>(id: string | undefined, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    for (let cause = error; cause instanceof Error; cause = cause.cause) {
      if (cause instanceof ImgcopyError && cause.side === 'destination') cause.destinationId ??= id;
    }
    throw error;
  }
}

/**
 * Says during which operation an error happened, and keeps the error as the cause. An abort is handed back as it is, for it is
 * not a failure of the operation.
 */
export function duringOperation(operation: string, error: unknown): unknown {
  if (isAbort(error)) return error;
  const code = error instanceof ImgcopyError ? error.code : (systemErrorCode(error) ?? 'ERR_FAILED');
  return new ImgcopyError(operation, { code, cause: error });
}

/** Whether an error is the rejection of an aborted signal, or of one whose time was up. */
export function isAbort(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return error.name === 'AbortError' || (error.name === 'TimeoutError' && error instanceof DOMException);
}

/** Whether a process, or the system, had as many open files as it may have: an error that passes when others are closed. */
export function lacksFiles(error: unknown): boolean {
  for (let one = error; one instanceof Error; one = one.cause) {
    const code = systemErrorCode(one);
    if (code === 'EMFILE' || code === 'ENFILE') return true;
  }
  return false;
}

/** The `code` of an error of Node.js or the system (`ENOENT`, `ECONNRESET`), or undefined. */
export function systemErrorCode(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}
