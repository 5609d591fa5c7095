import { pipeline } from 'node:stream/promises';
import { Writable, type Readable } from 'node:stream';
import { ContentMismatchError, digestOf, digestAlgorithm, type Digest } from '../../digest/digest.ts';
import { isAbort } from '../../errors/imgcopy-error.ts';
import { isPassing } from '../../http/index.ts';
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
const MAX_ATTEMPTS = 6;

/** How long the answer to a closing PUT may take, in ms. */
export function commitTimeoutMs(size: number): number {
  return Math.max(DEFAULT_COMMIT_MS, (size / SLOWEST_COMMIT) * 1000);
}

/** Stores bytes that are in memory: one PUT where the registry takes it. The bytes have been verified by the caller. */
export async function uploadBytes(
  client: RegistryClient,
  session: UploadLocation,
  digest: Digest,
  bytes: Buffer,
  options: UploadOptions,
): Promise<void> {
  const { limits, signal } = options;
  let upload = session;
  for (let attempt = 0; ; attempt += 1) {
    try {
      if (limits.maxRequestBytes !== undefined && bytes.length > limits.maxRequestBytes) {
        const end = await uploadInChunks(client, upload, [bytes], { offset: 0, limit: limits.maxRequestBytes, signal });
        await client.closeUpload(end, digest, undefined, { signal });
      } else if (limits.monolithic) {
        await client.closeUpload(upload, digest, bytes, { signal, headersTimeoutMs: commitTimeoutMs(bytes.length) });
      } else {
        const patched = await client.patchUpload(upload, bytes, { signal });
        await client.closeUpload(patched, digest, undefined, { signal });
      }
      return;
    } catch (error) {
      if (isAbort(error) || attempt === MAX_ATTEMPTS) throw error;
      if (!learnLimits(error, limits, bytes.length) && !isWorthAnother(error)) throw error;
      // An answer that was lost may have been a yes.
      const presence = await client.headBlob(digest, { signal });
      if (presence !== 'unknown' && presence.present) return;
      upload = await openUpload(client, signal);
    }
  }
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
  try {
    const end = await sendPart(client, session, stream, { offset: 0, length: size, limits, signal });
    await closeVerified(client, end, digest, size ?? 0, signal);
  } catch (error) {
    stream.destroy();
    await client.cancelUpload(session);
    const isLearnt = learnLimits(error, limits, size ?? Infinity);
    if (!isAbort(error) && (isLearnt || isWorthAnother(error))) throw new BlobAttemptError(error as Error);
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
  if (limit === undefined || (length !== undefined && length <= limit))
    return client.patchUpload(session, stream, { length, signal });
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
    await client.closeUpload(upload, digest, undefined, { signal, headersTimeoutMs: commitTimeoutMs(size) });
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

/** Reads a stream of a known, small size into memory, and verifies it. */
export async function collectVerified(
  stream: Readable,
  digest: Digest,
  size: number,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done): void {
      length += chunk.length;
      chunks.push(chunk);
      done(
        length > size
          ? new ContentMismatchError(`blob ${digest} is longer than its descriptor says`, `${size} bytes`, `more`)
          : null,
      );
    },
  });
  await pipeline(stream, sink, { ...(signal && { signal }) });
  if (length !== size)
    throw new ContentMismatchError(`blob ${digest} has the wrong size`, `${size} bytes`, `${length} bytes`);
  const bytes = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, length);
  const found = digestOf(bytes, digestAlgorithm(digest));
  if (found !== digest) throw new ContentMismatchError('content does not match its digest', digest, found);
  return bytes;
}

interface ChunkOptions extends WaitOptions {
  readonly offset: number;
  /** Bytes a request. */
  readonly limit: number;
}

async function uploadInChunks(
  client: RegistryClient,
  session: UploadLocation,
  source: AsyncIterable<Buffer> | Iterable<Buffer>,
  options: ChunkOptions,
): Promise<UploadLocation> {
  let upload = session;
  let { offset } = options;
  for await (const chunk of inPiecesOf(source, options.limit)) {
    const contentRange = `${offset}-${offset + chunk.length - 1}`;
    upload = await client.patchUpload(upload, chunk, { contentRange, signal: options.signal });
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

/** Notes what a failure says of the registry's limits. @returns whether it was one of these, so that another attempt makes sense. */
export function learnLimits(error: unknown, limits: UploadLimits, size: number): boolean {
  if (!(error instanceof RegistryError)) return false;
  if (error.status === 413) {
    const next = limits.maxRequestBytes === undefined ? FIRST_CHUNK : limits.maxRequestBytes / 2;
    const fitting = Math.min(next, 2 ** Math.floor(Math.log2(Math.max(1, Math.min(size, FIRST_CHUNK) - 1))));
    if (fitting < LEAST_CHUNK) return false;
    limits.maxRequestBytes = fitting;
    return true;
  }
  if (!limits.monolithic || ![405, 411, 501].includes(error.status)) return false;
  limits.monolithic = false;
  return true;
}

/** Whether a failure may not come again: a connection that broke, a server's fault, or an upload that the registry has lost. */
export function isWorthAnother(error: unknown): boolean {
  if (isPassing(error)) return true;
  return error instanceof RegistryError && ([404, 408, 416].includes(error.status) || error.status >= 500);
}
