import type { CacheTables } from './cache-tables.ts';
import { isBusy, retire } from './database-file.ts';

export interface CacheStoreOptions {
  readonly tables: CacheTables;
  /** The file that the tables are in; undefined for tables in memory. */
  readonly path?: string | undefined;
  /** Makes empty tables in memory. */
  readonly inMemory: () => CacheTables;
  /** Called at most once. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

const FLUSH_DELAY_MS = 200;

// Each wait for a lock holds up every transfer for 50 ms; after so many it is taken to be stuck.
const MAX_BUSY_WAITS = 5;

/**
 * Keeps tables at work whatever becomes of their file: an error is a miss, what is recorded is stored in batches, and a file that
 * fails is given up for the rest of the run, which continues in memory with what it recorded last. No method throws.
 */
export class CacheStore {
  readonly #inMemory: () => CacheTables;
  readonly #onWarning: ((message: string) => void) | undefined;
  #tables: CacheTables | undefined;
  #path: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isFlushed = true;
  #busyWaits = 0;

  constructor({ tables, path, inMemory, onWarning }: CacheStoreOptions) {
    this.#tables = tables;
    this.#path = path;
    this.#inMemory = inMemory;
    this.#onWarning = onWarning;
  }

  /** Answers from the tables, or with `miss` where they fail, are locked or closed. */
  ask<T>(query: (tables: CacheTables) => T, miss: T): T {
    if (this.#tables === undefined) return miss;
    try {
      return query(this.#tables);
    } catch (error) {
      this.#failed(error);
      return miss;
    }
  }

  /** Records facts, to be read back at once and stored a little later. */
  record(put: (tables: CacheTables) => void): void {
    if (this.#tables === undefined) return;
    try {
      put(this.#tables);
    } catch {
      // It went to memory, so the file is not to blame: a value that is no fact, such as a size of NaN.
      return;
    }
    this.#isFlushed = false;
    this.#timer ??= this.#scheduleFlush();
  }

  /** Stores what is left, asks one thing more, and closes the tables for good. */
  close(last: (tables: CacheTables) => void): void {
    clearTimeout(this.#timer);
    this.#flush();
    if (this.#isFlushed) this.ask(last, undefined);
    else if (this.#path !== undefined) this.#warn(this.#path, 'locked, what this run learned was not stored');
    const tables = this.#tables;
    this.#tables = undefined;
    tables?.close();
  }

  #scheduleFlush(): NodeJS.Timeout {
    const timer = setTimeout(() => {
      this.#flush();
      this.#timer = this.#isFlushed ? undefined : this.#scheduleFlush();
    }, FLUSH_DELAY_MS);
    return timer.unref();
  }

  #flush(): void {
    if (this.#isFlushed) return;
    this.#isFlushed = this.ask((tables) => {
      tables.flush();
      return true;
    }, false);
  }

  #failed(error: unknown): void {
    if (this.#path === undefined) return;
    if (isBusy(error)) {
      this.#busyWaits++;
      if (this.#busyWaits < MAX_BUSY_WAITS) return;
    }
    this.#giveUpFile(this.#path, error);
  }

  #giveUpFile(path: string, error: unknown): void {
    const failed = this.#tables;
    const tables = this.#inMemory();
    this.#tables = tables;
    this.#path = undefined;
    if (failed !== undefined) {
      try {
        failed.copyFreshTo(tables);
      } catch {
        // Then the run continues with less.
      }
      retire(path, failed, error);
    }
    this.#warn(path, `${error instanceof Error ? error.message : String(error)}, no longer used in this run`);
  }

  #warn(path: string, what: string): void {
    this.#onWarning?.(`blob info cache ${path}: ${what}`);
  }
}
