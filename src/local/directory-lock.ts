import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { WaitOptions } from '../contract/blob-info.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { type FileLock, tryLockFile } from '../io/file-lock.ts';
import { loadSqlite } from '../io/sqlite.ts';

/** What is locked while a directory is written. */
const LOCK_FILE = '.imgcopy.lock';

/** How often a lock is looked at that somebody else holds. */
const POLL_MS = 20;

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
  const path = join(directory, LOCK_FILE);
  const lock = orExplain(path, () => tryLockFile(sqlite, path));
  if (lock !== undefined) return lock;
  throw new ImgcopyError(`${reference} is in use by another imgcopy process`, {
    code: 'ERR_DIR_LOCKED',
    side: 'destination',
    hint: 'wait for it to finish, or copy to another directory',
  });
}

/** A lock that was taken when it was free. */
export interface AwaitedLock extends Disposable {
  /** Whether somebody else held it before. */
  readonly hasWaited: boolean;
}

/**
 * Locks a part of a directory that others may be writing to, and waits until they are done with it.
 *
 * @param name  of the part, such as a digest; it becomes a part of the name of the lock's file. Undefined: what all writers have in common.
 * @throws ImgcopyError ERR_DIR_LOCK when the file system has no locks. The reason of the signal.
 */
export async function waitForLock(
  directory: string,
  name: string | undefined,
  { signal }: WaitOptions = {},
): Promise<AwaitedLock> {
  const sqlite = await loadSqlite();
  const path = join(directory, name === undefined ? LOCK_FILE : `.imgcopy-${name}.lock`);
  for (let hasWaited = false; ; hasWaited = true) {
    signal?.throwIfAborted();
    const lock = orExplain(path, () => tryLockFile(sqlite, path));
    if (lock !== undefined) return { hasWaited, [Symbol.dispose]: () => lock[Symbol.dispose]() };
    await setTimeout(POLL_MS, undefined, { signal });
  }
}

/** Removes the files of locks of parts that nobody holds: a run that was killed left them. */
export async function removeFreeLocks(directory: string): Promise<void> {
  const names = (await readdir(directory)).filter((name) => /^\.imgcopy-[^.]+\.lock$/.test(name));
  if (names.length === 0) return;
  const sqlite = await loadSqlite();
  for (const path of names.map((name) => join(directory, name)))
    orExplain(path, () => tryLockFile(sqlite, path))?.[Symbol.dispose]();
}

/** Does some work while what all writers have in common is locked. See `waitForLock`. */
export async function whileLocked<T>(directory: string, options: WaitOptions, work: () => Promise<T>): Promise<T> {
  const lock = await waitForLock(directory, undefined, options);
  try {
    return await work();
  } finally {
    lock[Symbol.dispose]();
  }
}

function orExplain<T>(path: string, lock: () => T): T {
  try {
    return lock();
  } catch (error) {
    throw new ImgcopyError(`cannot lock ${path}: ${(error as Error).message}`, {
      code: 'ERR_DIR_LOCK',
      side: 'destination',
      hint: 'use a file system that supports locks; if no imgcopy is running, remove that file',
      cause: error,
    });
  }
}
