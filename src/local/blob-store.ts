import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import { LOCAL_RANGES, type BlobChunkAccessor, type ImageSourceChunk } from '../contract/blob-chunk-accessor.ts';
import type { BlobInfo, WaitOptions } from '../contract/blob-info.ts';
import { checkChunks } from '../contract/check-chunks.ts';
import { PartialBlobUnavailableError } from '../contract/errors.ts';
import type { PartialPlan, PutBlobInfo } from '../contract/image-destination.ts';
import { ContentMismatchError, type Digest, DigestVerifier } from '../digest/digest.ts';
import { ImgcopyError, systemErrorCode, type Side } from '../errors/imgcopy-error.ts';
import { OneAtATime } from '../io/one-at-a-time.ts';
import { planPartial, withPlan, type PartialBlobPlan } from '../partial/plan/partial-plan.ts';
import type { PlanBlobInput } from '../partial/plan/plan-blob.ts';
import { type AssembledFile, writeAssembled } from './assembled-file.ts';
import type { AwaitedLock } from './directory-lock.ts';
import { type BlobFile, openBlobFile, type PublishedBlob } from './blob-file.ts';
import { leftLength } from './partial-file.ts';
import { isFileOfSize, openRegularFile, streamRange, type StreamRangeOptions } from './regular-file.ts';

/** Where the blobs of an image lie. */
export interface BlobPlace {
  /** Absolute. */
  readonly directory: string;
  /** The path of a blob's file, relative to the directory. */
  readonly fileOf: (digest: Digest) => string;
  /** The image's name, for messages: `dir:/path`. */
  readonly reference: string;
  /** Which end of a copy it is, for errors. */
  readonly side: Side;
  /** Where others may write to the directory at the same time: waits until nobody else writes this blob, and keeps them waiting. */
  readonly lockBlob?: ((digest: Digest, options: WaitOptions) => Promise<AwaitedLock>) | undefined;
}

type ReadOptions = WaitOptions & StreamRangeOptions;

/** What is planned: the store's own blobs are known. */
export type StoredPlanInput = Omit<PlanBlobInput, 'own'>;

/** A shorter part is sooner fetched again than found again. */
const MIN_KEPT_BYTES = 1024 * 1024;

/** The blobs of a directory, each in a file of its own. Who writes has the directory locked, or each blob. */
export class LocalBlobStore {
  /** Reads parts of blobs. Its loop throws ERR_INVALID_CHUNKS and what `read` throws, at its first step. */
  readonly ranges: BlobChunkAccessor;
  readonly #place: BlobPlace;
  /** Two writers of one digest would write to one file. */
  readonly #writers = new OneAtATime<Digest | Readable>();

  constructor(place: BlobPlace) {
    this.#place = place;
    this.ranges = {
      rangeSupport: LOCAL_RANGES,
      getBlobAt: async (info, chunks, options) => ({
        kind: 'ranges',
        readers: this.#readChunks(info, chunks, options),
      }),
    };
  }

  /** Whether a blob is there, by the size of its file. */
  has({ digest, size }: BlobInfo): Promise<boolean> {
    return isFileOfSize(this.#pathOf(digest), size);
  }

  /**
   * The size of a blob's file, in bytes.
   * @throws ImgcopyError ERR_BLOB_NOT_FOUND
   */
  async size(digest: Digest): Promise<number> {
    await using handle = await this.#openFile(digest);
    return (await handle.stat()).size;
  }

  /**
   * Streams a blob from its first byte on, unverified.
   * @throws ImgcopyError ERR_BLOB_NOT_FOUND, or ContentMismatchError when the file has not the blob's size.
   */
  async read(info: BlobInfo, { signal, givesBack }: ReadOptions = {}): Promise<Readable> {
    signal?.throwIfAborted();
    const handle = await this.#open(info);
    const stream = streamRange(handle, { start: 0, end: info.size }, this.#pathOf(info.digest), { givesBack });
    stream.once('close', () => void handle.close());
    return signal === undefined ? stream : addAbortSignal(signal, stream);
  }

  /** Whether the content of a blob that is there is what its digest says. */
  async isSound(info: BlobInfo, options: WaitOptions = {}): Promise<boolean> {
    const verifier = new DigestVerifier(info);
    const stream = await this.read(info, options);
    for await (const piece of stream as AsyncIterable<Buffer>) verifier.update(piece);
    try {
      verifier.finish();
      return true;
    } catch (error) {
      if (error instanceof ContentMismatchError) return false;
      throw error;
    }
  }

  /**
   * Writes a blob from its first byte to its last. What came of it before a failure is left to the next run, unless it is wrong.
   * @throws the stream's error, ContentMismatchError, ImgcopyError ERR_DISK_FULL or ERR_NOT_WRITABLE.
   */
  async write(stream: Readable, info: PutBlobInfo, { signal }: WaitOptions = {}): Promise<PublishedBlob> {
    // It may fail before its turn: who reads it then is told.
    stream.on('error', () => undefined);
    const { directory, fileOf: finalName } = this.#place;
    const { digest, size } = info;
    return await this.#writers.run(digest ?? stream, async () => {
      using lock = await this.#lock(digest, signal);
      if (digest !== undefined && size !== undefined && (await this.#cameMeanwhile({ digest, size }, lock))) {
        stream.destroy();
        return { digest, size };
      }
      await using file = await openBlobFile({ directory, finalName, digest, size, signal });
      return await keepingPart(file, async () => {
        await file.writeStream(stream);
        return await file.publish();
      });
    });
  }

  /**
   * Plans how to put a blob together from blobs that are there, from ranges of the source, and from what an interrupted run left of it. Nothing is
   * opened for writing.
   * @throws PartialBlobUnavailableError when the blob is best written as one stream.
   */
  async plan(input: StoredPlanInput): Promise<PartialBlobPlan> {
    const candidates: StoredPlanInput['candidates'] = async () => {
      const found = await input.candidates();
      const present = await Promise.all(found.map((candidate) => this.has(candidate.info)));
      return found.filter((_, index) => present[index]);
    };
    const length = await leftLength({ ...input.info, directory: this.#place.directory });
    const left = length === 0 ? undefined : { length };
    return await planPartial({ ...input, own: this.ranges, candidates }, left);
  }

  /**
   * Puts a blob together: by the plan that `plan` has made, or by one of its own.
   * @throws PartialBlobUnavailableError when the blob is best written as one stream, or stays wrong.
   */
  async assemble(input: StoredPlanInput & { readonly plan?: PartialPlan | undefined }): Promise<AssembledFile> {
    const { info, signal } = input;
    const { directory, fileOf: finalName } = this.#place;
    const act = async (plan: PartialBlobPlan): Promise<AssembledFile> => {
      await using file = await openBlobFile({ directory, finalName, ...info, resume: true, signal });
      return await keepingPart(file, () => writeAssembled(file, { ...input, own: this.ranges, plan }));
    };
    return await this.#writers.run(info.digest, async () => {
      using lock = await this.#lock(info.digest, signal);
      if (await this.#cameMeanwhile(info, lock)) return { bytesReused: info.size, bytesResumed: 0, tail: undefined };
      return await withPlan(input.plan, () => this.plan(input), act);
    });
  }

  async #lock(digest: Digest | undefined, signal: AbortSignal | undefined): Promise<AwaitedLock | undefined> {
    return digest === undefined ? undefined : await this.#place.lockBlob?.(digest, { signal });
  }

  /** Whether somebody else has written a blob while its lock was waited for. */
  async #cameMeanwhile(info: BlobInfo, lock: AwaitedLock | undefined): Promise<boolean> {
    return lock?.hasWaited === true && (await this.has(info));
  }

  async *#readChunks(
    info: BlobInfo,
    chunks: readonly ImageSourceChunk[],
    { signal, givesBack }: ReadOptions = {},
  ): AsyncGenerator<Readable> {
    checkChunks(chunks, info.size);
    signal?.throwIfAborted();
    await using handle = await this.#open(info);
    for (const { offset, length } of chunks) {
      const end = length === undefined ? info.size : offset + length;
      const reader = streamRange(handle, { start: offset, end }, this.#pathOf(info.digest), { givesBack });
      try {
        yield signal === undefined ? reader : addAbortSignal(signal, reader);
      } finally {
        reader.destroy();
      }
    }
  }

  async #open({ digest, size }: BlobInfo): Promise<FileHandle> {
    const handle = await this.#openFile(digest);
    const { size: found } = await handle.stat();
    if (found === size) return handle;
    await handle.close();
    throw new ContentMismatchError(
      `file ${this.#pathOf(digest)} has the wrong size`,
      `${size} bytes`,
      `${found} bytes`,
    );
  }

  async #openFile(digest: Digest): Promise<FileHandle> {
    const path = this.#pathOf(digest);
    try {
      return await openRegularFile(path);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
      throw new ImgcopyError(
        `the image in ${this.#place.reference} is missing blob ${digest}: there is no file ${path}`,
        {
          code: 'ERR_BLOB_NOT_FOUND',
          kind: 'not-found',
          side: this.#place.side,
          hint: 'the directory is not complete; copy the image there again',
          cause: error,
        },
      );
    }
  }

  #pathOf(digest: Digest): string {
    return join(this.#place.directory, this.#place.fileOf(digest));
  }
}

/** What was written when a blob could not be finished is left to the next run, unless it is wrong. */
async function keepingPart<T>(file: BlobFile, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    const isWrong =
      error instanceof PartialBlobUnavailableError || (error instanceof ImgcopyError && error.kind === 'integrity');
    if (!isWrong && file.contiguous >= MIN_KEPT_BYTES) await file.keep();
    throw error;
  }
}
