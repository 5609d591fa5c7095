import { rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { ContentMismatchError, type Digest, digestAlgorithm } from '../digest/digest.ts';
import { ByteRanges } from './byte-ranges.ts';
import { byteLength } from '../io/byte-length.ts';
import type { ByteRange } from '../io/byte-range.ts';
import { onDisk } from './disk-error.ts';
import { EarlySync } from './early-sync.ts';
import { makeDirectory } from '../io/make-directory.ts';
import { OrderedHash } from './ordered-hash.ts';
import { openPartialFile, type PartialFile } from './partial-file.ts';
import { writeFully, writeInBatches } from './write-in-batches.ts';

export interface BlobFileOptions {
  readonly directory: string;
  /** Undefined: sha256 is computed; what is written so cannot be resumed. */
  readonly digest?: Digest | undefined;
  /** In bytes. */
  readonly size?: number | undefined;
  /** The path in the directory under which a blob of this digest is published; folders in it are made. */
  readonly finalName: (digest: Digest) => string;
  /** Whether to resume from what an earlier run left of this blob, where digest and size are given. Default false: from zero. */
  readonly resume?: boolean | undefined;
  /** Ends the waiting of everything but `keep` and the disposal. */
  readonly signal?: AbortSignal | undefined;
}

/** A blob that was written and verified. */
export interface PublishedBlob {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
}

/**
 * Opens a blob for writing, under a temporary name in its directory. There must be no other writer of it: who calls has the
 * directory locked.
 * @throws ImgcopyError ERR_DISK_FULL, ERR_NOT_WRITABLE
 */
export async function openBlobFile(options: BlobFileOptions): Promise<BlobFile> {
  const { directory, digest, size } = options;
  const resume = options.resume === true && digest !== undefined && size !== undefined;
  const partial = await onDisk(directory, () => openPartialFile({ directory, digest, size, resume }));
  return new BlobFile(partial, options);
}

/**
 * A blob that is being written, in pieces that may come in any order and several at a time. It is hashed meanwhile. It ends by `publish`
 * or by `keep`; if it is disposed of before, nothing of it stays.
 */
export class BlobFile implements AsyncDisposable {
  readonly #options: BlobFileOptions;
  readonly #partial: PartialFile;
  readonly #hash: OrderedHash;
  readonly #sync: EarlySync;
  /** What is in the file, and what is being written to it now. */
  readonly #claimed = new ByteRanges();
  readonly #underWay = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  #isSettled = false;

  constructor(partial: PartialFile, options: BlobFileOptions) {
    this.#partial = partial;
    this.#options = options;
    this.#sync = new EarlySync(partial.handle);
    const algorithm = options.digest === undefined ? 'sha256' : digestAlgorithm(options.digest);
    const signals = [this.#closing.signal, ...(options.signal === undefined ? [] : [options.signal])];
    this.#hash = new OrderedHash(partial.handle, algorithm, AbortSignal.any(signals));
    const resumed = { start: 0, end: partial.length };
    this.#claimed.add(resumed);
    this.#hash.add(resumed);
  }

  /** How many bytes are there from the first on without a gap. Whether they are the right ones, only `publish` tells. */
  get contiguous(): number {
    return this.#hash.contiguous;
  }

  /** How many of them an earlier run left. When `publish` finds the content wrong, they are to be suspected: `restart`. */
  get resumed(): number {
    return this.#partial.length;
  }

  /** Hashes what an earlier run left. It may go on while pieces are written: `publish` waits for it, and throws what it throws. */
  hashPrefix(): Promise<void> {
    const hashed = this.#track(this.#hash.catchUp());
    hashed.catch(() => {});
    return hashed;
  }

  /**
   * Writes a piece at its offset.
   * @returns when the memory of the piece may be used again.
   * @throws ContentMismatchError when it goes beyond the size of the blob.
   */
  async write(piece: Uint8Array, offset: number): Promise<void> {
    await this.#track(this.#writeAll([piece], offset));
  }

  /**
   * Writes a stream to its end.
   * @param options.offset  of its first byte in the blob. Default: `contiguous`.
   * @returns the number of its bytes.
   * @throws the stream's error, or ContentMismatchError when it goes beyond the size of the blob; what came before that stays written.
   */
  async writeStream(stream: Readable, options: { readonly offset?: number | undefined } = {}): Promise<number> {
    const start = options.offset ?? this.contiguous;
    let offset = start;
    const writeNext = async (pieces: readonly Uint8Array[]): Promise<void> => {
      const at = offset;
      offset += byteLength(pieces);
      await this.#track(this.#writeAll(pieces, at));
    };
    await writeInBatches(stream, writeNext, this.#options.signal);
    return offset - start;
  }

  /**
   * Gives up parts whose content is wrong, to be written again; then the whole is hashed anew. Nothing else may be under way.
   * @param ranges  in bytes; need not be written.
   */
  async invalidate(ranges: readonly ByteRange[]): Promise<void> {
    for (const range of ranges) this.#claimed.remove(range);
    this.#hash.restart(ranges);
    const { path, handle, note } = this.#partial;
    await onDisk(path, async () => {
      await note.write(this.contiguous);
      if (this.#claimed.first === undefined) await handle.truncate(0);
    });
  }

  /** Begins again at zero. */
  async restart(): Promise<void> {
    await this.invalidate([{ start: 0, end: Infinity }]);
  }

  /**
   * Verifies size and digest, brings the bytes to the disk and gives the blob its final name. The name itself is on the disk when the caller
   * has synced the directory.
   * @throws ContentMismatchError when the content is wrong. The file then stays open for `invalidate` or `restart`.
   */
  async publish(): Promise<PublishedBlob> {
    const blob = await this.#verified();
    const { directory, finalName } = this.#options;
    const { path, handle, note } = this.#partial;
    const finalPath = join(directory, finalName(blob.digest));
    await onDisk(path, async () => {
      await handle.chmod(0o644);
      await this.#sync.end();
      await makeDirectory(dirname(finalPath));
      await handle.close();
      await note.remove();
    });
    await onDisk(finalPath, () => rename(path, finalPath));
    this.#isSettled = true;
    return blob;
  }

  /** Leaves what is there without a gap to the next run. Where that fails, the disposal removes it. */
  async keep(): Promise<void> {
    if (this.#options.digest === undefined || this.contiguous === 0) return;
    await this.#settle();
    const { handle, note } = this.#partial;
    try {
      await handle.truncate(this.contiguous);
      await note.remove();
      await handle.close();
      // Bytes that the disk has lost would seem right to the next run, which may get them from memory.
      this.#isSettled = !this.#sync.hasFailed;
    } catch {
      // The failure that led here is the one to report.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isSettled) return;
    await this.#settle();
    const { path, handle, note } = this.#partial;
    await handle.close();
    await rm(path, { force: true });
    await note.remove();
  }

  async #verified(): Promise<PublishedBlob> {
    await this.#track(this.#hash.catchUp());
    const { digest: expected, size = this.contiguous } = this.#options;
    const what = `blob ${expected ?? 'without a digest'}`;
    if (this.contiguous !== size) {
      throw new ContentMismatchError(`${what} has the wrong size`, `${size} bytes`, `${this.contiguous} bytes`);
    }
    const digest = this.#hash.digest();
    if (expected !== undefined && digest !== expected) {
      throw new ContentMismatchError('content does not match its digest', expected, digest);
    }
    return { digest, size };
  }

  async #writeAll(pieces: readonly Uint8Array[], offset: number): Promise<void> {
    const range = { start: offset, end: offset + byteLength(pieces) };
    this.#claim(range);
    const { path, handle, note } = this.#partial;
    await onDisk(path, async () => {
      if (range.start > this.contiguous) await note.begin(this.contiguous);
      await this.#hash.addFromMemory(pieces, range, writeFully(handle, pieces, offset));
      this.#sync.wrote(range.end - range.start);
      await note.advance(this.contiguous);
    });
  }

  #claim(range: ByteRange): void {
    const { digest, size = Infinity } = this.#options;
    if (range.end > size) {
      throw new ContentMismatchError(
        `blob ${digest ?? 'without a digest'} is longer than its descriptor says`,
        `${size} bytes`,
        `at least ${range.end} bytes`,
      );
    }
    if (this.#claimed.overlaps(range)) throw new Error(`bytes ${range.start} to ${range.end} are written already`);
    this.#claimed.add(range);
  }

  /** Keeps count of what uses the file, which must not be closed before. */
  async #track(work: Promise<void>): Promise<void> {
    this.#underWay.add(work);
    try {
      await work;
    } finally {
      this.#underWay.delete(work);
    }
  }

  async #settle(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#underWay);
  }
}
