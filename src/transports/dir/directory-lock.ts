import { statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { loadSqlite, SQLITE_BUSY, sqliteResultCode } from '../../io/sqlite.ts';
import { LOCK_FILE } from './layout.ts';

/**
 * Locks a directory for writing, against other processes and other callers in this one. The lock is an exclusive transaction on an
 * empty SQLite database in it: the kernel drops it when its holder dies, and it holds between containers, where process ids mean nothing.
 *
 * @returns the lock; disposing of it removes the file.
 * @throws ImgcopyError ERR_DIR_LOCKED when it is held, ERR_DIR_LOCK when the file system has no locks.
 */
export async function lockDirectory(directory: string): Promise<AsyncDisposable> {
  const { DatabaseSync } = await loadSqlite();
  const path = join(directory, LOCK_FILE);
  for (;;) {
    const before = inodeOf(path);
    const database = new DatabaseSync(path, { timeout: 0 });
    takeLock(database, directory);
    // Its last holder may have removed the file after it was opened here: then this lock is on a file that no one else will find.
    if (before !== undefined && inodeOf(path) === before) return new DirectoryLock(database, path);
    database.close();
  }
}

class DirectoryLock implements AsyncDisposable {
  readonly #database: DatabaseSync;
  readonly #path: string;
  #isHeld = true;

  constructor(database: DatabaseSync, path: string) {
    this.#database = database;
    this.#path = path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A second call must not remove the file of the next holder.
    if (!this.#isHeld) return;
    this.#isHeld = false;
    await rm(this.#path, { force: true });
    this.#database.close();
  }
}

function takeLock(database: DatabaseSync, directory: string): void {
  try {
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (sqliteResultCode(error) === SQLITE_BUSY) {
      throw new ImgcopyError(`dir:${directory} is being written by another imgcopy`, {
        code: 'ERR_DIR_LOCKED',
        side: 'destination',
        hint: 'wait for it to end, or copy to another directory',
      });
    }
    throw new ImgcopyError(`cannot lock ${join(directory, LOCK_FILE)}: ${(error as Error).message}`, {
      code: 'ERR_DIR_LOCK',
      side: 'destination',
      hint: 'the file system has to support locks; if no imgcopy is running, remove that file',
      cause: error,
    });
  }
}

function inodeOf(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}
