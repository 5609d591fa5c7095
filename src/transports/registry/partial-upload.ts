import { Readable } from 'node:stream';
import { ContentMismatchError, DigestVerifier } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { backoff, type RequestObserver, type RetryPolicy } from '../../http/index.ts';
import { assembleBlob, type AssembleBlobInput, type BlobAssembly } from '../../partial/assemble-blob.ts';
import type { BlobChunkAccessor } from '../../types/blob-chunk-accessor.ts';
import type { BlobInfo } from '../../types/blob-info.ts';
import { PartialBlobUnavailableError } from '../../types/errors.ts';
import type { RegistryClient, UploadLocation } from './client.ts';
import { RegistryError } from './registry-error.ts';
import {
  closeVerified,
  isWorthAnother,
  learnLimits,
  letGo,
  openUpload,
  sendPart,
  type UploadLimits,
} from './upload.ts';
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

/** So much progress at the registry makes a failure count as the first again, in bytes. */
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
  /** Where the registry's copy of the blob ends, as it said last. */
  #offset = 0;
  /** Where it may end by now. */
  #sent = 0;
  /** How much of it an earlier run had sent. */
  #resumed = 0;

  constructor(client: RegistryClient, input: Input, options: PartialUploadOptions) {
    this.#client = client;
    this.#input = input;
    this.#options = options;
  }

  async run(): Promise<PartialUpload> {
    try {
      await this.#claim();
      return await this.#untilDone();
    } catch (error) {
      const isOver = this.#isOver(error);
      await this.#leave({ isOver });
      if (!isOver || error instanceof PartialBlobUnavailableError) throw error;
      throw new PartialBlobUnavailableError('the upload came to nothing', { cause: error });
    }
  }

  /** Takes over what an earlier run left. */
  async #claim(): Promise<void> {
    const { noted } = this.#options;
    this.#upload = await noted.claim(this.#input.info);
    // It is worth keeping as long as the registry does not say otherwise.
    if (this.#upload !== undefined) this.#sent = noted.minBytes;
  }

  async #untilDone(): Promise<PartialUpload> {
    const { info, signal } = this.#input;
    const { policy, limits, observer } = this.#options;
    const isClaimed = this.#upload !== undefined;
    for (let failures = 0; ;) {
      const before = this.#offset;
      const held = { ...limits };
      try {
        await this.#goOn();
        if (isClaimed && failures === 0) this.#resumed = this.#offset;
        if (this.#offset - before >= PROGRESS) failures = 0;
        return await this.#attempt();
      } catch (error) {
        if (isLost(error) || failures >= policy.retries) throw error;
        if (!learnLimits(error, limits, info.size, held) && !isWorthAnother(error)) throw error;
        const delayMs = backoff(policy, failures);
        failures += 1;
        observer?.onRetry?.({
          side: 'destination',
          what: `upload of blob ${info.digest}`,
          why: messageOf(error),
          delayMs,
        });
        await policy.sleep(delayMs, signal);
      }
    }
  }

  /** Asks the registry how far an upload came, to go on there. One that is gone, or of no use, is let go of. */
  async #goOn(): Promise<void> {
    const upload = this.#upload;
    if (upload === undefined) return;
    const { signal, info } = this.#input;
    const status = await this.#client.uploadStatus(upload, { signal });
    const isUseful = status !== undefined && status.offset > 0 && status.offset <= info.size;
    this.#upload = isUseful ? status.upload : undefined;
    this.#offset = isUseful ? status.offset : 0;
    this.#sent = this.#offset;
    if (isUseful) return;
    await this.#options.noted.forget(info);
    if (status !== undefined) await letGo(this.#client, upload);
  }

  async #attempt(): Promise<PartialUpload> {
    const { info } = this.#input;
    const { limits, noted, session } = this.#options;
    const { signal } = this.#input;
    const start = this.#offset;
    if (this.#upload !== undefined && start === info.size) {
      await this.#close(this.#upload);
      return { bytesReused: this.#resumed, tail: undefined };
    }
    await using assembly = await assembleBlob({ ...this.#input, offset: start });
    const upload = (this.#upload ??= session() ?? (await openUpload(this.#client, signal)));
    // A session that holds pieces of other blobs is not for another run: nobody could say then what is wrong with it.
    if (assembly.reused().length === 0) await noted.note(info, upload);
    else await noted.forget(info);
    const verifier = await this.#verifierFor(start);
    const options = { objectMode: false, highWaterMark: STREAM_BUFFER };
    const stream = Readable.from(this.#counted(assembly, verifier), options);
    try {
      const length = info.size - start;
      this.#upload = await sendPart(this.#client, upload, stream, { offset: start, length, limits, signal });
    } finally {
      stream.on('error', () => undefined).destroy();
    }
    await this.#close(this.#upload);
    const reused = assembly.reused().reduce((sum, { length }) => sum + length, 0);
    return { bytesReused: this.#resumed + reused, tail: assembly.tail };
  }

  async #close(upload: UploadLocation): Promise<void> {
    const { info, signal } = this.#input;
    await closeVerified(this.#client, upload, info.digest, info.size, signal);
    await this.#options.noted.forget(info);
  }

  async *#counted({ bytes }: BlobAssembly, verifier: DigestVerifier | undefined): AsyncGenerator<Buffer> {
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

  /**
   * Whether nobody can go on with this upload. What an earlier attempt sent was not hashed here: where the registry says no to the upload as such, in
   * whatever words, that may be why.
   */
  #isOver(error: unknown): boolean {
    if (isWrongContent(error) || error instanceof PartialBlobUnavailableError) return true;
    return this.#offset > 0 && isRefusal(error);
  }

  /** Leaves the upload to the next run, where that may go on with it; else cancels it. */
  async #leave({ isOver }: { readonly isOver: boolean }): Promise<void> {
    const { noted } = this.#options;
    const { info } = this.#input;
    if (!isOver && this.#sent >= noted.minBytes && (await noted.leave(info, this.#sent))) return;
    await noted.forget(info);
    if (this.#upload !== undefined) await letGo(this.#client, this.#upload);
  }
}

/** Reused pieces, or what an earlier run sent, may be other bytes than they were taken for. */
function isWrongContent(error: unknown): boolean {
  if (error instanceof ContentMismatchError) return true;
  return error instanceof RegistryError && error.status === 400 && error.codes.includes('DIGEST_INVALID');
}

function isRefusal(error: unknown): boolean {
  if (!(error instanceof RegistryError) || error.side !== 'destination') return false;
  return error.status >= 400 && error.status < 500 && ![401, 403, 404, 408, 413, 429].includes(error.status);
}

/** Whether another upload would not help: the content is wrong, or the source fails, which has been tried again there. */
function isLost(error: unknown): boolean {
  return isWrongContent(error) || (error instanceof ImgcopyError && error.side === 'source');
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
