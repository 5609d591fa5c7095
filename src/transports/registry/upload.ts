import type { Readable } from 'node:stream';
import type { Digest } from '../../digest/digest.ts';
import { ImgcopyError, isAbort } from '../../errors/imgcopy-error.ts';
import { isPassing, isPassingAnswer } from '../../http/index.ts';
import type { Cost } from '../../retry/attempts.ts';
import type { WaitOptions } from '../../types/blob-info.ts';
import { BlobAttemptError } from '../../types/errors.ts';
import type { RegistryClient, UploadLocation } from './client.ts';
import { RegistryError } from './registry-error.ts';

/** What this registry was seen to refuse, for the rest of the run. */
export interface UploadLimits {
  /** False once a PUT with the whole body was refused: PATCH, then PUT. */
  monolithic: boolean;
  /** The most bytes that one request may carry, once a larger one met 413. */
  maxRequestBytes: number | undefined;
}

export interface UploadOptions extends WaitOptions {
  readonly limits: UploadLimits;
}

/** Object stores take their time to put a large upload together: as slow as this is taken for alive, in bytes a second. */
const SLOWEST_COMMIT = 20_000_000;
const DEFAULT_COMMIT_MS = 60_000;
/** The first size of a request's body after a 413, in bytes; halved down to the least while the answer stays 413. */
const FIRST_CHUNK = 8 * 1024 * 1024;
const LEAST_CHUNK = 256 * 1024;
/** How often a PUT without a body is sent again: that costs less than the blob, but the blob's own attempts come on top. */
export const CLOSING_RETRIES: number = 1;
/** How long to wait for a registry to let go of an upload, in ms. */
const CANCEL_TIMEOUT_MS = 2_000;

/** How long the answer to a closing PUT may take, in ms. */
export function commitTimeoutMs(size: number): number {
  return Math.max(DEFAULT_COMMIT_MS, (size / SLOWEST_COMMIT) * 1000);
}

/**
 * Streams a blob of known or unknown size into an upload: one PATCH, closed by PUT.
 * @param stream  verifies its own end: the upload is closed only after it ended well.
 * @throws BlobAttemptError when another attempt with a new stream may succeed. The upload is cancelled on any failure.
 */
export async function uploadStream(
  client: RegistryClient,
  session: UploadLocation,
  digest: Digest,
  stream: Readable,
  size: number | undefined,
  options: UploadOptions,
): Promise<void> {
  const { limits, signal } = options;
  const held = { ...limits };
  try {
    const end = await sendPart(client, session, stream, { offset: 0, length: size, limits, signal });
    await closeVerified(client, end, digest, size ?? 0, signal);
  } catch (error) {
    stream.destroy();
    await letGo(client, session);
    const isLearnt = learnLimits(error, limits, size ?? Infinity, held);
    if (!isAbort(error) && (isLearnt || isWorthAnother(error)))
      throw new BlobAttemptError(error as Error, { costs: isLearnt ? 'lesson' : costOf(error) });
    throw error;
  }
}

export interface SendPartOptions extends UploadOptions {
  /** Where the stream begins in the blob, in bytes. */
  readonly offset: number;
  /** Of the stream, in bytes. */
  readonly length: number | undefined;
}

/** Appends a stream to an upload: in one PATCH, or in several where the registry was seen to limit their size. */
export async function sendPart(
  client: RegistryClient,
  session: UploadLocation,
  stream: Readable,
  options: SendPartOptions,
): Promise<UploadLocation> {
  const { offset, length, limits, signal } = options;
  const limit = limits.maxRequestBytes;
  if (limit === undefined || (length !== undefined && length <= limit)) {
    // Quay takes a PATCH without Content-Range to begin at the blob's first byte, and GHCR is unsafe with one: only where it is needed.
    const contentRange = offset === 0 || length === undefined ? undefined : `${offset}-${offset + length - 1}`;
    return client.patchUpload(session, stream, { length, contentRange, signal });
  }
  return uploadInChunks(client, session, stream as AsyncIterable<Buffer>, { offset, limit, signal });
}

/** Closes an upload whose bytes are all there; where the answer is lost, the blob itself is asked for. */
export async function closeVerified(
  client: RegistryClient,
  upload: UploadLocation,
  digest: Digest,
  size: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    const headersTimeoutMs = commitTimeoutMs(size);
    await client.closeUpload(upload, digest, undefined, { signal, headersTimeoutMs, retries: CLOSING_RETRIES });
  } catch (error) {
    if (isAbort(error) || !isWorthAnother(error)) throw error;
    const presence = await client.headBlob(digest, { signal });
    if (presence === 'unknown' || !presence.present) throw error;
  }
}

export async function openUpload(client: RegistryClient, signal: AbortSignal | undefined): Promise<UploadLocation> {
  const upload = await client.startUpload({ signal });
  if (upload === 'mounted') throw new Error('a plain POST cannot mount');
  return upload;
}

/** Cancels an upload that nobody will go on with. Never throws, and does not wait for long: the run may be at its end. */
export async function letGo(client: RegistryClient, upload: UploadLocation): Promise<void> {
  const signal = AbortSignal.timeout(CANCEL_TIMEOUT_MS);
  await client.cancelUpload(upload, { signal }).catch(() => undefined);
}

interface ChunkOptions extends WaitOptions {
  readonly offset: number;
  /** Bytes a request. */
  readonly limit: number;
}

/** Appends bytes to an upload, in requests of at most so many bytes. */
export async function uploadInChunks(
  client: RegistryClient,
  session: UploadLocation,
  source: AsyncIterable<Buffer> | Iterable<Buffer>,
  options: ChunkOptions,
): Promise<UploadLocation> {
  let upload = session;
  let { offset } = options;
  for await (const chunk of inPiecesOf(source, options.limit)) {
    const contentRange = `${offset}-${offset + chunk.length - 1}`;
    upload = await client.patchUpload(upload, chunk, { contentRange, signal: options.signal, retries: 0 });
    offset += chunk.length;
  }
  return upload;
}

async function* inPiecesOf(source: AsyncIterable<Buffer> | Iterable<Buffer>, size: number): AsyncGenerator<Buffer> {
  let pending: Buffer[] = [];
  let length = 0;
  for await (const chunk of source) {
    let rest = chunk;
    while (length + rest.length >= size) {
      const cut = size - length;
      yield Buffer.concat([...pending, rest.subarray(0, cut)]);
      rest = rest.subarray(cut);
      pending = [];
      length = 0;
    }
    if (rest.length > 0) pending.push(rest);
    length += rest.length;
  }
  if (length > 0) yield Buffer.concat(pending);
}

/**
 * Notes what a failure says of the registry's limits.
 *
 * @param size  of the blob in bytes.
 * @param held  the limits that held when the request was sent: requests that were refused together lower it once. Default: those of now.
 * @returns whether it was one of these, so that another attempt makes sense.
 */
export function learnLimits(
  error: unknown,
  limits: UploadLimits,
  size: number,
  held: Readonly<UploadLimits> = limits,
): boolean {
  if (!(error instanceof RegistryError)) return false;
  if (error.status === 413) {
    if (limits.maxRequestBytes !== held.maxRequestBytes) return true;
    const belowSize = 2 ** (Math.ceil(Math.log2(size)) - 1);
    const next = held.maxRequestBytes === undefined ? Math.min(FIRST_CHUNK, belowSize) : held.maxRequestBytes / 2;
    if (next < LEAST_CHUNK) return false;
    limits.maxRequestBytes = next;
    return true;
  }
  if (!held.monolithic || ![405, 411, 501].includes(error.status)) return false;
  limits.monolithic = false;
  return true;
}

/**
 * Whether a failure of the destination may not come again: a connection that broke, a server's fault or its limit of requests, an upload that
 * it has lost, or a token that ran out while a stream was sent.
 */
export function isWorthAnother(error: unknown): boolean {
  if (!(error instanceof ImgcopyError) || error.side !== 'destination') return false;
  if (isPassing(error) || error.code === 'ERR_BODY_NOT_REPLAYABLE') return true;
  if (!(error instanceof RegistryError)) return false;
  return (
    [404, 416].includes(error.status) || error.kind === 'rate-limited' || isPassingAnswer(error.status, error.codes)
  );
}

/** Of another attempt after a failure that is worth it. */
export function costOf(error: unknown): Cost {
  return error instanceof RegistryError && error.kind === 'rate-limited' ? 'wait' : 'retry';
}
