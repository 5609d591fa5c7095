import { ImgcopyError, type Side } from '../errors/imgcopy-error.ts';

/**
 * The server refuses these ranges (400, 416, 501, or one part for many ranges). Who asked may ask again with fewer, larger ranges.
 */
export class BadPartialRequestError extends ImgcopyError {
  /** The HTTP status; 206 when one part came for many ranges. */
  readonly status: number;

  constructor(status: number, statusText: string, options: { side?: Side; cause?: unknown } = {}) {
    super(`the server refuses these ranges: ${status} ${statusText}`.trimEnd(), {
      code: 'ERR_BAD_PARTIAL_REQUEST',
      ...options,
    });
    this.status = status;
  }
}

/**
 * A destination cannot build this blob from pieces; no bytes of the attempt remain visible. On this error alone the pipeline goes on to
 * the whole blob.
 */
export class PartialBlobUnavailableError extends ImgcopyError {
  constructor(reason: string, options: { cause?: unknown } = {}) {
    super(`no partial copy: ${reason}`, { code: 'ERR_PARTIAL_BLOB_UNAVAILABLE', ...options });
  }
}

/**
 * The attempt to store a blob was lost (a cut upload, a session that is gone, a limit that was just learnt), and another one, with a new
 * stream, may succeed. The pipeline tries again within its budget of retries, and throws the cause when that is spent.
 */
export class BlobAttemptError extends ImgcopyError {
  override readonly cause: Error;

  constructor(cause: Error) {
    super(`the attempt failed: ${cause.message}`, { code: 'ERR_BLOB_ATTEMPT', cause });
    this.cause = cause;
  }
}
