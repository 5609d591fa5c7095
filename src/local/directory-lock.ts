import { join } from 'node:path';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { type FileLock, tryLockFile } from '../io/file-lock.ts';
import { loadSqlite } from '../io/sqlite.ts';

/** What is locked while a directory is written. */
const LOCK_FILE = '.imgcopy.lock';

/** Whether a name belongs to the lock. */
export function isLockName(name: string): boolean {
  return name === LOCK_FILE || name === `${LOCK_FILE}-journal`;
}

/**
 * Locks a directory for writing, against other processes and other callers in this one, by a file in it.
 *
 * @param reference  the image's name, for messages: `dir:/path`.
 * @returns the lock; disposing of it removes the file.
 * @throws ImgcopyError ERR_DIR_LOCKED when it is held, ERR_DIR_LOCK when the file system has no locks.
 */
export async function lockDirectory(directory: string, reference: string): Promise<FileLock> {
  const sqlite = await loadSqlite();
  const lock = orExplain(directory, () => tryLockFile(sqlite, join(directory, LOCK_FILE)));
  if (lock !== undefined) return lock;
  throw new ImgcopyError(`${reference} is in use by another imgcopy process`, {
    code: 'ERR_DIR_LOCKED',
    side: 'destination',
    hint: 'wait for it to finish, or copy to another directory',
  });
}

function orExplain<T>(directory: string, lock: () => T): T {
  try {
    return lock();
  } catch (error) {
    throw new ImgcopyError(`cannot lock ${join(directory, LOCK_FILE)}: ${(error as Error).message}`, {
      code: 'ERR_DIR_LOCK',
      side: 'destination',
      hint: 'the file system has to support locks; if no imgcopy is running, remove that file',
      cause: error,
    });
  }
}
