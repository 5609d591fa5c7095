import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type * as sqlite from 'node:sqlite';
import { type FileLock, isFileLocked, tryLockFile } from '../io/file-lock.ts';

/** Nobody: a session that was left. */
export const NO_OWNER = '';

/**
 * Who writes to upload sessions, as other processes see it: a name, and a lock on `<state file>-<name>.lock` that the kernel drops when its
 * process dies. So a session that is being written is told from one that a killed run left behind.
 */
export class UploadOwner implements Disposable {
  readonly #sqlite: typeof sqlite;
  /** Of the state file. */
  readonly #path: string;
  readonly #name = randomBytes(8).toString('hex');
  #lock: FileLock | undefined;

  constructor(module: typeof sqlite, path: string) {
    this.#sqlite = module;
    this.#path = path;
  }

  /**
   * The name that this owner's sessions carry. Its lock is taken when it is first asked for, and what dead owners left is removed then.
   * @throws a system error, or SQLite's, where no lock is to be had.
   */
  get name(): string {
    if (this.#lock === undefined) {
      this.#removeStale();
      this.#lock = tryLockFile(this.#sqlite, this.#lockFile(this.#name));
      if (this.#lock === undefined) throw new Error(`${this.#lockFile(this.#name)} is held by another`);
    }
    return this.#name;
  }

  /** Whether nobody writes any more to the sessions that carry a name: they were left, or their process is gone. */
  isGone(name: string): boolean {
    if (name === NO_OWNER) return true;
    if (name === this.#name) return false;
    try {
      return !isFileLocked(this.#sqlite, this.#lockFile(name));
    } catch {
      // What cannot be locked may be alive.
      return false;
    }
  }

  [Symbol.dispose](): void {
    this.#lock?.[Symbol.dispose]();
    this.#lock = undefined;
  }

  #removeLockOf(name: string): void {
    try {
      tryLockFile(this.#sqlite, this.#lockFile(name))?.[Symbol.dispose]();
    } catch {
      // What cannot be locked may be alive.
    }
  }

  #lockFile(name: string): string {
    return `${this.#path}-${name}.lock`;
  }

  /** Giving back a lock removes its file. */
  #removeStale(): void {
    const prefix = `${basename(this.#path)}-`;
    for (const file of readdirSync(dirname(this.#path))) {
      const name = file.startsWith(prefix) ? /^([0-9a-f]{16})\.lock$/.exec(file.slice(prefix.length))?.[1] : undefined;
      if (name !== undefined) this.#removeLockOf(name);
    }
  }
}
