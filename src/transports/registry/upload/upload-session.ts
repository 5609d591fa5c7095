import { once } from 'node:events';
import type { Readable } from 'node:stream';
import type { Digest } from '../../../digest/digest.ts';
import { ImgcopyError, isAbort } from '../../../errors/imgcopy-error.ts';
import { isPassing, isPassingAnswer } from '../../../http/index.ts';
import type { MemoryAccount } from '../../../io/memory.ts';
import type { Attempts } from '../../../retry/attempts.ts';
import type { BlobInfo, WaitOptions } from '../../../contract/blob-info.ts';
import { BlobAttemptError } from '../../../contract/errors.ts';
import { type Chunk, readChunk } from './chunk.ts';
import { ByteReader } from '../../../io/byte-reader.ts';
import type { RegistryClient, UploadLocation } from '../client.ts';
import { MIN_LEFT_BYTES, type NotedUploads } from './noted-uploads.ts';
import { RegistryError } from '../registry-error.ts';
import type { UploadLimits, UploadRequest } from './upload-limits.ts';

export interface SessionParts {
  readonly client: RegistryClient;
  readonly limits: UploadLimits;
  readonly noted: NotedUploads;
  /** Of the blob that the upload is for. */
  readonly digest: Digest;
  readonly location: UploadLocation;
  /** The blob, where an earlier run has noted the upload under it. */
  readonly notedAs?: BlobInfo | undefined;
  /** Called once, when the upload is closed, cancelled, gone, or left to a later run. */
  readonly onEnd: () => void;
}

export interface AppendOptions extends WaitOptions {
  /** Of the body, in bytes. Default: not known. */
  readonly length?: number | undefined;
  /** Pays for chunks that are sent again. */
  readonly attempts: Attempts;
  /** What chunks of a stream are taken from. Default: not counted. */
  readonly memory?: MemoryAccount | undefined;
}

export interface CloseOptions extends WaitOptions {
  /** Of the whole blob, in bytes. */
  readonly size?: number | undefined;
}

/** Object stores take their time to put a large upload together: as slow as this is taken for alive, in bytes a second. */
const SLOWEST_COMMIT = 20_000_000;
const DEFAULT_COMMIT_MS = 60_000;
/** How often a PUT without a body is sent again: that costs less than the blob, but the blob's own attempts come on top. */
const CLOSING_RETRIES = 1;
/** How long to wait for a registry to let go of an upload, in ms. The run may be at its end. */
const CANCEL_TIMEOUT_MS = 2_000;

/**
 * An upload that a registry has opened for one blob. It knows where the upload is now, and how much of the blob the registry has confirmed. Who
 * disposes of it cancels it, unless it was closed or left to a later run.
 *
 * What it throws is a BlobAttemptError where another attempt, in a new upload or from the offset that `status` says, may succeed.
 */
export class UploadSession implements AsyncDisposable {
  readonly digest: Digest;
  readonly limits: UploadLimits;
  readonly #parts: SessionParts;
  #location: UploadLocation;
  #offset = 0;
  #notedAs: BlobInfo | undefined;
  #isOpen = true;

  constructor(parts: SessionParts) {
    this.digest = parts.digest;
    this.limits = parts.limits;
    this.#parts = parts;
    this.#location = parts.location;
    this.#notedAs = parts.notedAs;
  }

  /** How many bytes of the blob the registry has confirmed. */
  get offset(): number {
    return this.#offset;
  }

  /** Appends bytes: in one PATCH, or in several where the host was seen to limit their size. */
  async append(body: Buffer | Readable, options: AppendOptions): Promise<void> {
    const length = Buffer.isBuffer(body) ? body.length : options.length;
    const chunkBytes = this.#chunkBytes;
    if (chunkBytes !== undefined && (length ?? Infinity) > chunkBytes) await this.#appendInChunks(body, options);
    else await this.#appendAtOnce(body, length, options);
  }

  /** Ends the upload, whose bytes are all there. Where the answer is lost, the blob itself is asked for. */
  async close({ size = 0, signal }: CloseOptions = {}): Promise<void> {
    const options = { signal, headersTimeoutMs: commitTimeoutMs(size), retries: CLOSING_RETRIES };
    await this.#close(
      'PUT',
      0,
      () => this.#parts.client.closeUpload(this.#location, this.digest, undefined, options),
      signal,
    );
  }

  /** Sends the whole blob by the PUT that ends the upload. */
  async closeWith(body: Buffer | Readable, size: number, { signal }: WaitOptions = {}): Promise<void> {
    if (!Buffer.isBuffer(body)) await firstBytes(body, signal);
    const options = { signal, length: size, headersTimeoutMs: commitTimeoutMs(size), retries: 0 };
    const send = (): Promise<void> => this.#parts.client.closeUpload(this.#location, this.digest, body, options);
    await this.#close('PUT with body', size, send, signal);
  }

  /**
   * Asks the registry how much of the blob it has, to resume there.
   * @returns undefined where nobody can resume: the upload is gone, or holds less than the registry had confirmed.
   */
  async status({ signal }: WaitOptions = {}): Promise<number | undefined> {
    const status = await this.#try('GET', 0, () => this.#parts.client.uploadStatus(this.#location, { signal }));
    if (status === 'gone') await this.#end();
    if (status === 'gone' || status === 'unknown' || status.offset < this.#offset) return undefined;
    this.#location = status.upload;
    this.#offset = status.offset;
    return status.offset;
  }

  /** Notes the upload, so that a later run can resume it should this one die. */
  async note(info: BlobInfo): Promise<void> {
    this.#notedAs = info;
    await this.#parts.noted.note(info, this.#location);
  }

  /** Drops the note: no other run may resume this upload. */
  async unnote(): Promise<void> {
    const info = this.#notedAs;
    this.#notedAs = undefined;
    if (info !== undefined) await this.#parts.noted.forget(info);
  }

  /**
   * Leaves the upload open for a later run.
   * @param received  how much of the blob the registry may have, in bytes.
   * @returns false where the upload is not noted or too short for that: it is still to be cancelled.
   */
  async leave(received: number): Promise<boolean> {
    const { noted } = this.#parts;
    const info = this.#notedAs;
    if (!this.#isOpen || info === undefined || received < MIN_LEFT_BYTES) return false;
    if (!(await noted.leave(info, received))) return false;
    this.#isOpen = false;
    this.#parts.onEnd();
    return true;
  }

  /** Has the registry drop the upload. Never throws, and does not wait for long. */
  async cancel(): Promise<void> {
    if (!this.#isOpen) return;
    await this.#end();
    const { client } = this.#parts;
    const signal = AbortSignal.timeout(CANCEL_TIMEOUT_MS);
    try {
      if ((await client.cancelUpload(this.#location, { signal })) !== 'refused') return;
      // distribution 3 refuses a Location whose state names another offset than the upload's: a cut request left one.
      const status = await client.uploadStatus(this.#location, { signal });
      if (typeof status === 'object') await client.cancelUpload(status.upload, { signal });
    } catch {
      // Registries drop what nobody closes, in time.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cancel();
  }

  get #chunkBytes(): number | undefined {
    const { maxRequestBytes } = this.limits;
    return maxRequestBytes && Math.max(maxRequestBytes, this.#location.minChunkBytes ?? 0);
  }

  async #appendAtOnce(body: Buffer | Readable, length: number | undefined, { signal }: AppendOptions): Promise<void> {
    if (!Buffer.isBuffer(body)) await firstBytes(body, signal);
    // Quay takes a PATCH without Content-Range to begin at the blob's first byte, and GHCR is unsafe with one: only where it is needed.
    const contentRange = this.#offset === 0 || length === undefined ? undefined : this.#rangeOf(length);
    await this.#patch(body, { length, contentRange, signal });
  }

  async #appendInChunks(body: Buffer | Readable, options: AppendOptions): Promise<void> {
    const reader = new ByteReader(Buffer.isBuffer(body) ? [body] : body);
    const memory = Buffer.isBuffer(body) ? undefined : options.memory;
    for (;;) {
      const wanted = Math.min(this.#chunkBytes ?? Infinity, memory?.most ?? Infinity);
      using share = (await memory?.take(wanted, options)) ?? memory?.takeSome(wanted);
      const chunk = await readChunk(reader, Math.max(share?.bytes ?? wanted, this.#location.minChunkBytes ?? 0));
      if (chunk === undefined) return;
      await this.#appendChunk(chunk, options);
    }
  }

  /** Sends a chunk until the registry has it: what is in memory can be sent again, from wherever the upload stands. */
  async #appendChunk(chunk: Chunk, { attempts, signal }: AppendOptions): Promise<void> {
    const start = this.#offset;
    const end = start + chunk.length;
    while (this.#offset < end) {
      const part = chunk.from(this.#offset - start, this.#chunkBytes);
      try {
        const contentRange = this.#rangeOf(part.length);
        await this.#patch(() => part.stream(), { length: part.length, contentRange, signal, retries: 0 });
        attempts.reached(this.#offset);
      } catch (error) {
        if (!(error instanceof BlobAttemptError) || !this.limits.takesPatch) throw error;
        const { cause, costs } = error;
        if (!(await attempts.again({ why: cause.message, costs }))) throw cause;
        const offset = await this.status({ signal });
        if (offset === undefined || offset > end) throw error;
      }
    }
  }

  async #patch(
    body: Parameters<RegistryClient['patchUpload']>[1],
    options: NonNullable<Parameters<RegistryClient['patchUpload']>[2]>,
  ): Promise<void> {
    const { length } = options;
    const send = (): Promise<UploadLocation> => this.#parts.client.patchUpload(this.#location, body, options);
    this.#location = await this.#try('PATCH', length ?? Infinity, send);
    // What the answer's Range says does not count: at ECR it stays behind. @see https://github.com/aws/containers-roadmap/issues/2831
    this.#offset += length ?? 0;
    if (this.#notedAs !== undefined) await this.note(this.#notedAs);
  }

  async #close(
    request: UploadRequest,
    bytes: number,
    send: () => Promise<void>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    try {
      await this.#try(request, bytes, send);
    } catch (error) {
      // An answer that was lost may have been a yes.
      const mayBeThere = error instanceof BlobAttemptError && error.costs !== 'lesson';
      if (!mayBeThere || !(await this.#isPublished(signal))) throw error;
    }
    await this.#end();
  }

  async #isPublished(signal: AbortSignal | undefined): Promise<boolean> {
    const presence = await this.#parts.client.headBlob(this.digest, { signal }).catch((error: unknown) => {
      if (isAbort(error)) throw error;
      return 'unknown' as const;
    });
    return presence !== 'unknown' && presence.present;
  }

  async #try<T>(request: UploadRequest, bytes: number, send: () => Promise<T>): Promise<T> {
    const { held } = this.limits;
    try {
      const answer = await send();
      this.limits.prove(request);
      return answer;
    } catch (error) {
      if (isAbort(error)) throw error;
      if (this.limits.learn(error, request, bytes, held))
        throw new BlobAttemptError(error as Error, { costs: 'lesson' });
      throw isWorthAnother(error) ? new BlobAttemptError(error, { costs: costOf(error) }) : error;
    }
  }

  async #end(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#parts.onEnd();
    await this.unnote();
  }

  #rangeOf(length: number): string {
    return `${this.#offset}-${this.#offset + length - 1}`;
  }
}

/** How long the answer to a closing PUT may take, in ms. */
function commitTimeoutMs(size: number): number {
  return Math.max(DEFAULT_COMMIT_MS, (size / SLOWEST_COMMIT) * 1000);
}

/**
 * Whether a failure of the destination may not come again: a connection that broke, a server's fault or its limit of requests, an upload that
 * it has lost, or a token that ran out while a stream was sent.
 */
function isWorthAnother(error: unknown): error is ImgcopyError {
  if (!(error instanceof ImgcopyError) || error.side !== 'destination') return false;
  if (isPassing(error) || error.code === 'ERR_BODY_NOT_REPLAYABLE') return true;
  if (!(error instanceof RegistryError)) return false;
  return (
    [404, 416].includes(error.status) || error.kind === 'rate-limited' || isPassingAnswer(error.status, error.codes)
  );
}

function costOf(error: ImgcopyError): 'wait' | 'retry' {
  return error.kind === 'rate-limited' ? 'wait' : 'retry';
}

/**
 * Waits until a stream has something to give, or has ended: a request that begins before that holds a connection idle, and many a server closes
 * those.
 */
async function firstBytes(stream: Readable, signal: AbortSignal | undefined): Promise<void> {
  if (stream.readableLength > 0 || stream.readableEnded || stream.destroyed) return;
  const closed = new AbortController();
  const onClose = (): void => closed.abort();
  stream.once('close', onClose);
  try {
    const waiting = signal ? AbortSignal.any([signal, closed.signal]) : closed.signal;
    await once(stream, 'readable', { signal: waiting });
  } catch (error) {
    // Who reads a stream that was closed learns what is wrong with it.
    if (!closed.signal.aborted) throw error;
  } finally {
    stream.off('close', onClose);
  }
}
