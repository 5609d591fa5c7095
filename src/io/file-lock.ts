import { rmSync, statSync } from 'node:fs';
import type * as sqlite from 'node:sqlite';
import { SQLITE_BUSY, sqliteResultCode } from './sqlite.ts';

/** A lock that is held. Disposing of it removes its file; a second time does nothing. */
export type FileLock = Disposable;

/**
 * Takes the lock that a file stands for, against other processes and other callers in this one. It is an exclusive transaction on an empty
 * SQLite database: the kernel drops it when its holder dies, and it holds between containers, where process ids mean nothing.
 *
 * @param path  of the file, which is made where it is missing.
 * @returns undefined when the lock is held.
 * @throws SQLite's error where the file cannot be locked: it is something else, or the file system has no locks.
 */
export function tryLockFile({ DatabaseSync }: typeof sqlite, path: string): FileLock | undefined {
  for (;;) {
    const before = inodeOf(path);
    const database = new DatabaseSync(path, { timeout: 0 });
    try {
      database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    } catch (error) {
      database.close();
      if (sqliteResultCode(error) === SQLITE_BUSY) return undefined;
      throw error;
    }
    // Its last holder may have removed the file after it was opened here: then this lock is on a file that no one else will find.
    if (before !== undefined && inodeOf(path) === before) return new HeldLock(database, path);
    database.close();
  }
}

/**
 * Whether somebody holds the lock that a file stands for. Nothing is made, locked or removed.
 * @throws SQLite's error where the file cannot be read.
 */
export function isFileLocked({ DatabaseSync }: typeof sqlite, path: string): boolean {
  if (inodeOf(path) === undefined) return false;
  const database = new DatabaseSync(path, { readOnly: true, timeout: 0 });
  try {
    database.prepare('SELECT count(*) FROM sqlite_schema').get();
    return false;
  } catch (error) {
    if (sqliteResultCode(error) === SQLITE_BUSY) return true;
    throw error;
  } finally {
    database.close();
  }
}

class HeldLock implements FileLock {
  readonly #database: sqlite.DatabaseSync;
  readonly #path: string;
  #isHeld = true;

  constructor(database: sqlite.DatabaseSync, path: string) {
    this.#database = database;
    this.#path = path;
  }

  [Symbol.dispose](): void {
    // A second call must not remove the file of the next holder.
    if (!this.#isHeld) return;
    this.#isHeld = false;
    rmSync(this.#path, { force: true });
    this.#database.close();
  }
}

function inodeOf(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}
