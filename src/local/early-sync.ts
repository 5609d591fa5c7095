import type { FileHandle } from 'node:fs/promises';

/** How much is written before the disk begins with it, in bytes. */
const SYNC_BYTES = 64 * 1024 * 1024;

/**
 * Brings a file to the disk while it is written, so that at the end little is left to wait for. One thread of Node.js's
 * four is busy with it.
 */
export class EarlySync {
  readonly #handle: Pick<FileHandle, 'datasync' | 'sync'>;
  #unsynced = 0;
  #syncing: Promise<void> | undefined;
  /** The system tells of a failure once: a later sync would succeed. */
  #failure: { readonly error: unknown } | undefined;

  constructor(handle: Pick<FileHandle, 'datasync' | 'sync'>) {
    this.#handle = handle;
  }

  /** @param count  of the bytes that were written. */
  wrote(count: number): void {
    this.#unsynced += count;
    if (this.#unsynced < SYNC_BYTES || this.#syncing !== undefined) return;
    this.#unsynced = 0;
    this.#syncing = this.#sync();
  }

  /** Resolves when all that was written is on the disk. @throws the system's error, of an earlier sync too. */
  async end(): Promise<void> {
    await this.#syncing;
    if (this.#failure !== undefined) throw this.#failure.error;
    await this.#handle.sync();
  }

  async #sync(): Promise<void> {
    try {
      await this.#handle.datasync();
    } catch (error) {
      this.#failure ??= { error };
    } finally {
      this.#syncing = undefined;
    }
  }
}
