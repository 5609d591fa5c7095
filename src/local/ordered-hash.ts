import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { Digest, DigestAlgorithm } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { ByteRanges } from './byte-ranges.ts';
import type { ByteRange } from '../io/byte-range.ts';
import { inPipeTurns } from '../io/pipe-turns.ts';

const READ_BACK_BYTES = 256 * 1024;

/**
 * Hashes a file from its first byte to its last while it is written in any order: what comes in order is hashed from memory, what came
 * early is read back (from the page cache, as a rule) as soon as what lies before it is there.
 */
export class OrderedHash {
  readonly #handle: FileHandle;
  readonly #algorithm: DigestAlgorithm;
  readonly #signal: AbortSignal;
  #hash: Hash;
  /** How many bytes, from the first on, are hashed. */
  #hashed = 0;
  /** Bytes that are in the file and not hashed yet. */
  readonly #unhashed = new ByteRanges();
  #readingBack: Promise<void> | undefined;
  #buffer: Buffer | undefined;

  /** @param signal  ends the reading back. */
  constructor(handle: FileHandle, algorithm: DigestAlgorithm, signal: AbortSignal) {
    this.#handle = handle;
    this.#algorithm = algorithm;
    this.#signal = signal;
    this.#hash = createHash(algorithm);
  }

  /** How many bytes are in the file from the first on without a gap, hashed or not. */
  get contiguous(): number {
    const { first } = this.#unhashed;
    return first?.start === this.#hashed ? first.end : this.#hashed;
  }

  /** Notes bytes that are in the file already. */
  add(range: ByteRange): void {
    this.#unhashed.add(range);
  }

  /** Hashes bytes that are being written now; `written` is fulfilled when they are in the file. */
  async addFromMemory(chunks: readonly Uint8Array[], range: ByteRange, written: Promise<void>): Promise<void> {
    if (range.start === this.#hashed && this.#readingBack === undefined) {
      const hash = this.#hash;
      await Promise.all([written, inPipeTurns(chunks, (part) => void hash.update(part))]);
      this.#hashed = range.end;
    } else {
      await written;
      this.#unhashed.add(range);
    }
    if (this.#readingBack === undefined) await this.catchUp();
  }

  /** Reads back and hashes what is there without a gap; fulfilled when there is no more of it. */
  async catchUp(): Promise<void> {
    if (this.#readingBack === undefined && this.#unhashed.first?.start === this.#hashed) {
      this.#readingBack = this.#readBack();
    }
    await this.#readingBack;
  }

  /** The digest of the bytes so far: of the whole file, when `contiguous` is its size and `catchUp` has been waited for. */
  digest(): Digest {
    return `${this.#algorithm}:${this.#hash.copy().digest('hex')}`;
  }

  /** Begins again at the first byte, without the ranges that are no longer there. */
  restart(lost: readonly ByteRange[]): void {
    this.#unhashed.add({ start: 0, end: this.#hashed });
    this.#hashed = 0;
    this.#hash = createHash(this.#algorithm);
    for (const range of lost) this.#unhashed.remove(range);
  }

  async #readBack(): Promise<void> {
    try {
      const buffer = (this.#buffer ??= Buffer.allocUnsafeSlow(READ_BACK_BYTES));
      for (let next = this.#unhashed.first; next?.start === this.#hashed; next = this.#unhashed.first) {
        const length = Math.min(buffer.length, next.end - next.start);
        const { bytesRead } = await this.#handle.read(buffer, 0, length, next.start);
        this.#signal.throwIfAborted();
        if (bytesRead === 0) throw fileChanged(next.start);
        this.#hash.update(buffer.subarray(0, bytesRead));
        this.#unhashed.remove({ start: next.start, end: next.start + bytesRead });
        this.#hashed += bytesRead;
      }
    } finally {
      this.#readingBack = undefined;
    }
  }
}

function fileChanged(end: number): ImgcopyError {
  return new ImgcopyError(`the file of a blob ends at byte ${end}, where bytes were written before`, {
    code: 'ERR_FILE_CHANGED',
    side: 'destination',
    hint: 'make sure that no other program changes the directory, and run it again',
  });
}
