import type { BlobChunkAccessor, BlobRange } from '../contract/blob-chunk-accessor.ts';
import type { BlobInfo } from '../contract/blob-info.ts';
import type { BadPartialRequestError } from '../contract/errors.ts';
import type { ImageSource } from '../contract/image-source.ts';
import type { MemoryAccount, MemoryBudget } from '../io/memory.ts';
import { give, readForAll, readParts, readWhole, type Demand } from './read-for-all.ts';

/** What is kept of blobs that some copies may come for later, as for those of referrers: nobody knows them before they are found. In bytes, of one and of all. */
const MAX_KEPT_BLOB = 4 * 1024 * 1024;
const MAX_KEPT_BYTES = 8 * 1024 * 1024;

/** Counts what is kept of all blobs together. */
export class KeptBytes {
  #bytes = 0;

  /** @returns whether so many bytes of a blob may be kept; then they are counted. */
  add(size: number): boolean {
    if (size > MAX_KEPT_BLOB || this.#bytes + size > MAX_KEPT_BYTES) return false;
    this.#bytes += size;
    return true;
  }

  remove(size: number): void {
    this.#bytes -= size;
  }
}

export interface SharedBytesOptions {
  readonly source: ImageSource;
  readonly memory: MemoryBudget;
  readonly kept: KeptBytes;
  /** Whether somebody may come for the blob later. */
  readonly isAwaited: () => boolean;
  /** Of all destinations together. */
  readonly signal: AbortSignal;
}

/** Who wants bytes. */
export interface Taker {
  readonly demand: Demand;
  /** Called with each packet that it has taken. */
  readonly onTaken?: () => void;
}

/** The bytes of one blob, as they are read for several destinations: once for those who want them at the same time, and for those who come later as well, where they are kept. */
export class SharedBytes {
  /** Of all that is done for the blob. */
  readonly memory: MemoryAccount;
  readonly #info: BlobInfo;
  readonly #options: SharedBytesOptions;
  /** All of it, where it was read before everybody had come. */
  #kept: Promise<Buffer> | undefined;
  /** What was read to plan the blob, by its ranges; until the blob itself is read. */
  readonly #planned = new Map<string, Promise<readonly Buffer[] | BadPartialRequestError>>();
  #isPlanning = true;

  constructor(info: BlobInfo, options: SharedBytesOptions) {
    this.#info = info;
    this.#options = options;
    this.memory = options.memory.openAccount();
  }

  /** What is read to plan the blob, read once for all. */
  async readForPlan(
    parts: BlobChunkAccessor,
    chunks: readonly BlobRange[],
  ): Promise<readonly Buffer[] | BadPartialRequestError> {
    const key = chunks.map(({ offset, length }) => `${offset}+${length}`).join();
    let reading = this.#planned.get(key);
    if (reading === undefined) {
      reading = readParts(parts, this.#info, chunks, this.#options.signal);
      if (this.#isPlanning) this.#planned.set(key, reading);
      reading.catch(() => this.#planned.delete(key));
    }
    return await reading;
  }

  /** What was read to plan the blob is not kept any more. */
  endPlanning(): void {
    this.#isPlanning = false;
    this.#planned.clear();
  }

  /** Reads what all of these want, once. Each is told by its demand. */
  read(takers: readonly Taker[]): void {
    const demands = takers.map(({ demand }) => demand);
    this.#readFor(demands, (index) => takers[index]?.onTaken?.()).catch((error: unknown) => {
      for (const { given } of demands) given.reject(error);
    });
  }

  async #readFor(demands: readonly Demand[], onTaken: (index: number) => void): Promise<void> {
    const kept = this.#keptFor(demands);
    if (kept !== undefined) return give(await kept, demands);
    const { source, signal } = this.#options;
    await readForAll(this.#info, demands, { source, memory: this.memory, signal, onTaken });
  }

  /** What was read before, or is read now for those who may come later as well. Undefined where the blob is to be read for these alone. */
  #keptFor(demands: readonly Demand[]): Promise<Buffer> | undefined {
    const isFresh = demands.some(({ options }) => options.isFresh === true);
    if (isFresh) this.#forget();
    if (isFresh || !demands.every(({ isWhole }) => isWhole)) return undefined;
    if (this.#kept !== undefined) return this.#kept;
    const { source, kept, isAwaited, signal } = this.#options;
    if (!isAwaited() || !kept.add(this.#info.size)) return undefined;
    this.#kept = readWhole(source, this.#info, { ...demands[0]?.options, signal });
    this.#kept.catch(() => this.#forget());
    return this.#kept;
  }

  #forget(): void {
    if (this.#kept === undefined) return;
    this.#kept = undefined;
    this.#options.kept.remove(this.#info.size);
  }
}
