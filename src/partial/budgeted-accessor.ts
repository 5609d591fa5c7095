import type { Readable } from 'node:stream';
import type { Release, Semaphore } from '../io/semaphore.ts';
import type {
  BlobChunkAccessor,
  GetBlobAtOptions,
  ImageSourceChunk,
  RangeSupport,
} from '../types/blob-chunk-accessor.ts';
import type { BlobInfo } from '../types/blob-info.ts';

/** What is read of a table of contents takes several times its bytes while it is compared with others. */
const WEIGHT = 4;

/**
 * Reads parts of a blob that are kept in memory, within a run's budget: each request waits for its share, and all of them keep theirs
 * until the accessor is disposed of. A server that ignores ranges is reported by WholeBlobError.
 */
export class BudgetedAccessor implements BlobChunkAccessor, Disposable {
  readonly #accessor: BlobChunkAccessor;
  readonly #memory: Semaphore;
  #weight = 0;
  #release: Release | undefined;

  constructor(accessor: BlobChunkAccessor, memory: Semaphore) {
    this.#accessor = accessor;
    this.#memory = memory;
  }

  get rangeSupport(): RangeSupport {
    return this.#accessor.rangeSupport;
  }

  async *getBlobAt(
    info: BlobInfo,
    chunks: readonly ImageSourceChunk[],
    options: GetBlobAtOptions = {},
  ): AsyncGenerator<Readable> {
    this.#weight += chunks.reduce((sum, { offset, length = info.size - offset }) => sum + length * WEIGHT, 0);
    // Nobody waits with a share in hand: two that did could wait for each other.
    this.#release?.();
    this.#release = await this.#memory.acquire({ weight: this.#weight, signal: options.signal });
    yield* this.#accessor.getBlobAt(info, chunks, { ...options, takesWholeBlob: true });
  }

  [Symbol.dispose](): void {
    this.#release?.();
  }
}
