import { ContentMismatchError } from '../digest/digest.ts';
import { ImgcopyError, type Side } from '../errors/imgcopy-error.ts';
import type { Cost } from '../retry/attempts.ts';

/**
 * The server refuses these ranges: by any status but 401, 404 and 429, or with one part for many ranges. Who asked may ask again with fewer, larger ranges.
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
 * A destination cannot build this blob from pieces; no bytes of the attempt remain visible. On this error alone the pipeline falls back to
 * the whole blob.
 */
export class PartialBlobUnavailableError extends ImgcopyError {
  constructor(reason: string, options: { cause?: unknown } = {}) {
    super(`no partial copy: ${reason}`, { code: 'ERR_PARTIAL_BLOB_UNAVAILABLE', ...options });
  }
}

/** The destination refuses a manifest because it does not have all the blobs that it names, although it said, or was told, that it has. */
export class MissingBlobsError extends ImgcopyError {
  override readonly cause: Error;
  /** The refusal may have another reason as well: where all blobs prove to be there, the cause is what there is to tell. */
  readonly isSuspicion: boolean;

  constructor(
    cause: Error,
    { hint, isSuspicion = false }: { readonly hint?: string | undefined; readonly isSuspicion?: boolean } = {},
  ) {
    super('the destination is missing blobs of the manifest', {
      code: 'ERR_MISSING_BLOBS',
      cause,
      ...(hint !== undefined && { hint }),
    });
    this.cause = cause;
    this.isSuspicion = isSuspicion;
  }
}

/**
 * The attempt to store a blob was lost (a cut upload, a session that is gone, a limit that was just learnt), and another one, with a new
 * stream, may succeed. The pipeline tries again within its budget of retries, and throws the cause when that is spent.
 */
export class BlobAttemptError extends ImgcopyError {
  override readonly cause: Error;
  /** Of the next attempt. */
  readonly costs: Cost;

  constructor(cause: Error, { costs = 'retry' }: { readonly costs?: Cost } = {}) {
    super(`the attempt failed: ${cause.message}`, { code: 'ERR_BLOB_ATTEMPT', cause });
    this.cause = cause;
    this.costs = costs;
  }
}

/** A source or destination, one that a program has handed in perhaps, does not keep what its interface promises. */
export function brokenContract(found: string): ImgcopyError {
  return new ImgcopyError(`a source or destination breaks its contract: ${found}`, {
    code: 'ERR_BROKEN_CONTRACT',
    hint: 'correct the object that was given to copy, or its transport; where it is one of imgcopy, report this',
  });
}

/** For transports whose images have no tags: `tag` was given where a manifest is read or put. */
export function refuseTag(reference: string, tag: string | undefined, side: Side): void {
  if (tag === undefined) return;
  throw new ImgcopyError(`${reference} has no tags, so no image is called ${tag} there`, {
    code: 'ERR_USAGE',
    kind: 'usage',
    side,
  });
}

/** Adds to an error of wrong content what the server said of its encoding, which is the likely cause. Any other error is handed back as it is. */
export function explainMismatch(error: unknown, contentEncoding: string | undefined): unknown {
  if (!(error instanceof ContentMismatchError) || contentEncoding === undefined) return error;
  const { what, expected, found } = error;
  const hint = `the server sent Content-Encoding: ${contentEncoding}; ask the operator to turn that off, a proxy in front of the registry may compress blobs`;
  return new ContentMismatchError(what, expected, found, { hint });
}
