import { Readable } from 'node:stream';
import { ContentMismatchError, DigestVerifier } from '../../digest/digest.ts';
import { isAbort } from '../../errors/imgcopy-error.ts';
import { backoff, type RequestObserver, type RetryPolicy } from '../../http/index.ts';
import { assembleBlob, type AssembleBlobInput, type BlobAssembly } from '../../partial/assemble-blob.ts';
import type { BlobChunkAccessor } from '../../types/blob-chunk-accessor.ts';
import type { BlobInfo } from '../../types/blob-info.ts';
import { PartialBlobUnavailableError } from '../../types/errors.ts';
import type { RegistryClient, UploadLocation } from './client.ts';
import { RegistryError } from './registry-error.ts';
import { closeVerified, isWorthAnother, learnLimits, openUpload, sendPart, type UploadLimits } from './upload.ts';
import type { NotedUploads } from './noted-uploads.ts';

export interface PartialUploadOptions {
  readonly policy: RetryPolicy;
  readonly limits: UploadLimits;
  readonly observer?: RequestObserver | undefined;
  /** Uploads that outlive a run. */
  readonly noted: NotedUploads;
  /** Hands over the upload that was opened for the blob, if any; called once the blob is sure to be sent so. */
  readonly session: () => UploadLocation | undefined;
}

export interface PartialUpload {
  readonly bytesReused: number;
  /** The blob's table of contents, where it was read. */
  readonly tail: BlobAssembly['tail'];
}

type Input = Omit<AssembleBlobInput, 'offset'>;

/** So much progress makes a failure count as the first again, in bytes. */
const PROGRESS = 1024 * 1024;
const STREAM_BUFFER = 256 * 1024;

/**
 * Uploads a blob that is put together on the way: from pieces of the registry's own blobs, and from ranges of the source. What a cut upload has
 * received is not sent again: the registry says how far it came, this run or one before.
 *
 * @throws PartialBlobUnavailableError when the blob is best sent as one stream, or came out wrong.
 */
export async function uploadAssembled(
  client: RegistryClient,
  input: Input,
  options: PartialUploadOptions,
): Promise<PartialUpload> {
  return new AssembledUpload(client, input, options).run();
}

class AssembledUpload {
  readonly #client: RegistryClient;
  readonly #input: Input;
  readonly #options: PartialUploadOptions;
  #upload: UploadLocation | undefined;
  /** Where the registry's copy of the blob ends. */
  #offset = 0;
  #sent = 0;

  constructor(client: RegistryClient, input: Input, options: PartialUploadOptions) {
    this.#client = client;
    this.#input = input;
    this.#options = options;
  }

  async run(): Promise<PartialUpload> {
    const { info, signal } = this.#input;
    const { policy, limits, observer, noted } = this.#options;
    await this.#continueAt(await noted.claim(info));
    for (let failures = 0; ;) {
      const before = this.#sent;
      try {
        return await this.#attempt();
      } catch (error) {
        if (!this.#isWorthAnother(error, failures)) throw await this.#giveUp(error);
        learnLimits(error, limits, info.size);
        failures = this.#sent - before >= PROGRESS ? 1 : failures + 1;
        const delayMs = backoff(policy, failures - 1);
        observer?.onRetry?.({
          side: 'destination',
          what: `upload of blob ${info.digest}`,
          why: messageOf(error),
          delayMs,
        });
        await policy.sleep(delayMs, signal);
        await this.#continueAt(this.#upload);
      }
    }
  }

  async #attempt(): Promise<PartialUpload> {
    const { info, signal } = this.#input;
    const { limits, noted, session } = this.#options;
    const start = this.#offset;
    const assembly = await assembleBlob({ ...this.#input, offset: start });
    const upload = (this.#upload ??= session() ?? (await openUpload(this.#client, signal)));
    if (assembly.reused().length === 0) await noted.note(info, upload);
    const verifier = await this.#verifierFor(start);
    const stream = Readable.from(this.#counted(assembly, verifier), {
      objectMode: false,
      highWaterMark: STREAM_BUFFER,
    });
    try {
      const end = await sendPart(this.#client, upload, stream, {
        offset: start,
        length: info.size - start,
        limits,
        signal,
      });
      await closeVerified(this.#client, end, info.digest, info.size, signal);
    } finally {
      stream.destroy();
    }
    await noted.forget(info);
    return { bytesReused: assembly.reused().reduce((sum, { length }) => sum + length, 0), tail: assembly.tail };
  }

  async *#counted({ bytes }: BlobAssembly, verifier: DigestVerifier | undefined): AsyncGenerator<Buffer> {
    this.#sent = this.#offset;
    for await (const chunk of bytes) {
      this.#sent += chunk.length;
      verifier?.update(chunk);
      yield chunk;
    }
    verifier?.finish();
  }

  /** What an earlier run sent is hashed where it is at hand; else the registry's own check of the digest has to do. */
  async #verifierFor(offset: number): Promise<DigestVerifier | undefined> {
    const { accessor, info, signal } = this.#input;
    if (offset > 0 && !accessor.rangeSupport.isLocal) return undefined;
    const verifier = new DigestVerifier(info);
    if (offset > 0) await hashFront(verifier, accessor, info, offset, signal);
    return verifier;
  }

  #isWorthAnother(error: unknown, failures: number): boolean {
    if (isAbort(error) || isWrongContent(error) || failures >= this.#options.policy.retries) return false;
    return isWorthAnother(error) || (error instanceof RegistryError && error.status === 413);
  }

  /** Lets go of the upload, or leaves it to the next run. @returns the error to throw. */
  async #giveUp(error: unknown): Promise<unknown> {
    const { noted } = this.#options;
    const { info } = this.#input;
    const isKept = !isWrongContent(error) && noted.has(info) && this.#sent >= noted.minBytes;
    if (!isKept) {
      await noted.forget(info);
      if (this.#upload !== undefined) await this.#client.cancelUpload(this.#upload);
    }
    return isWrongContent(error)
      ? new PartialBlobUnavailableError('it came out with another digest', { cause: error })
      : error;
  }

  /** Asks the registry how far an upload came, to go on there. One that is gone, or of no use, is let go of. */
  async #continueAt(upload: UploadLocation | undefined): Promise<void> {
    const { signal, info } = this.#input;
    this.#offset = 0;
    this.#upload = undefined;
    if (upload === undefined) return;
    const status = await this.#client.uploadStatus(upload, { signal });
    if (status !== undefined && status.offset > 0 && status.offset < info.size) {
      this.#offset = status.offset;
      this.#upload = status.upload;
      return;
    }
    await this.#options.noted.forget(info);
    if (status !== undefined) await this.#client.cancelUpload(upload);
  }
}

/** Reused pieces, or what an earlier run sent, may be other bytes than they were taken for. */
function isWrongContent(error: unknown): boolean {
  if (error instanceof ContentMismatchError) return true;
  return error instanceof RegistryError && error.status === 400 && error.codes.includes('DIGEST_INVALID');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function hashFront(
  verifier: DigestVerifier,
  accessor: BlobChunkAccessor,
  info: BlobInfo,
  length: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  for await (const reader of accessor.getBlobAt(info, [{ offset: 0, length }], { signal })) {
    for await (const bytes of reader as AsyncIterable<Buffer>) verifier.update(bytes);
  }
}
