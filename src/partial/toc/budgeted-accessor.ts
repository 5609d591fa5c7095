import type { MemoryShare } from '../../io/memory.ts';
import type {
  BlobChunkAccessor,
  GetBlobAtOptions,
  ImageSourceChunk,
  RangeAnswer,
  RangeSupport,
} from '../../contract/blob-chunk-accessor.ts';
import type { BlobInfo } from '../../contract/blob-info.ts';
import { UnusableTailError } from './unusable-tail-error.ts';

/** What is read of a table of contents takes several times its bytes while it is compared with others: as a rule, as much as its text. */
const WEIGHT = 4;
/** A piece of a blob, with its identity and its place in an index, in bytes. */
const PIECE_BYTES = 250;

/** The memory of the tables of contents that are compared with each other. */
export class TailMemory {
  readonly #share: MemoryShare;
  #wanted = 0;

  constructor(share: MemoryShare) {
    this.#share = share;
  }

  /** How much memory so many bytes of tables of contents take, in bytes. */
  static weightOf(bytes: number): number {
    return bytes * WEIGHT;
  }

  /** What all of them would have needed, in bytes; more than there was where `isShort`. */
  get wanted(): number {
    return this.#wanted;
  }

  get isShort(): boolean {
    return this.#wanted > this.#share.bytes;
  }

  /**
   * Counts bytes that are about to be read. What was not foreseen is taken from what is free now.
   * @throws UnusableTailError where there is no room for them.
   */
  spend(bytes: number): void {
    this.#spend(TailMemory.weightOf(bytes));
  }

  /**
   * Counts the pieces that a table of contents names, where these are more than its compressed bytes let one expect.
   * @param bytes  of the table of contents, compressed.
   * @returns whether there is room for them.
   */
  hasRoomFor(pieces: number, bytes: number): boolean {
    try {
      this.#spend(Math.max(0, pieces * PIECE_BYTES - TailMemory.weightOf(bytes)));
      return true;
    } catch (error) {
      if (error instanceof UnusableTailError) return false;
      throw error;
    }
  }

  #spend(bytes: number): void {
    this.#wanted += bytes;
    const lacking = this.#wanted - this.#share.bytes;
    if (lacking > 0 && !this.#share.grow(lacking)) throw new UnusableTailError('there is no memory for it');
  }
}

/** Reads tables of contents within their memory. */
export class BudgetedAccessor implements BlobChunkAccessor {
  readonly #accessor: BlobChunkAccessor;
  readonly #memory: TailMemory;

  constructor(accessor: BlobChunkAccessor, memory: TailMemory) {
    this.#accessor = accessor;
    this.#memory = memory;
  }

  get rangeSupport(): RangeSupport {
    return this.#accessor.rangeSupport;
  }

  async getBlobAt(
    info: BlobInfo,
    chunks: readonly ImageSourceChunk[],
    options?: GetBlobAtOptions,
  ): Promise<RangeAnswer> {
    this.#memory.spend(chunks.reduce((sum, { offset, length = info.size - offset }) => sum + length, 0));
    return await this.#accessor.getBlobAt(info, chunks, options);
  }
}
