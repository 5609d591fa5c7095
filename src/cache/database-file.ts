import { renameSync, rmSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { makeDirectory } from '../io/make-directory.ts';
import {
  inTransaction,
  loadSqlite,
  SQLITE_BUSY,
  SQLITE_CORRUPT,
  SQLITE_ERROR,
  SQLITE_NOTADB,
  sqliteResultCode,
} from '../io/sqlite.ts';

export interface DatabaseFileOptions {
  readonly path: string;
  /** Kept in the file as `PRAGMA user_version`; a file with a higher one belongs to a later imgcopy and is left alone. */
  readonly version: number;
  /** The statements that make the tables in an empty file. */
  readonly schema: string;
}

// SQLite's wait for a lock blocks the event loop, and with it every transfer.
const BUSY_TIMEOUT_MS = 50;

// Two processes that make the same file at once get SQLITE_BUSY from the change to WAL without any wait, and one is soon done.
const OPEN_ATTEMPTS = 4;
const REOPEN_DELAY_MS = 20;

/**
 * Opens a database that several processes share, made with its directory where it is missing, for its owner only. A file that is not
 * a database, or not one with these tables, is set aside and a new one made.
 *
 * @param prepare  makes of the connection what the caller works with; when it fails, the connection is closed.
 * @throws ImgcopyError (`ERR_DATABASE_NEWER`) for a file of a later version, SQLite's error when the file stays locked or cannot be
 *   used, a system error when the directory or the file cannot be made.
 */
export async function openDatabaseFile<T>(
  options: DatabaseFileOptions,
  prepare: (database: DatabaseSync) => T,
): Promise<T> {
  const sqlite = await loadSqlite();
  let hasSetAside = false;
  for (let attempt = 1; ; attempt++) {
    await createForOwner(options.path);
    const database = new sqlite.DatabaseSync(options.path, { timeout: BUSY_TIMEOUT_MS });
    try {
      setUp(database, options);
      return prepare(database);
    } catch (error) {
      database.close();
      if (isBusy(error) && attempt < OPEN_ATTEMPTS) {
        await delay(REOPEN_DELAY_MS);
      } else if ((isDamaged(error) || hasOtherTables(error)) && !hasSetAside) {
        setAside(options.path);
        hasSetAside = true;
      } else {
        throw error;
      }
    }
  }
}

/**
 * Opens a database to read what is in it: no file is made, and none is written to.
 * @returns undefined where there is none of this version.
 * @throws SQLite's error when the file cannot be used.
 */
export async function readDatabaseFile<T>(
  { path, version }: Pick<DatabaseFileOptions, 'path' | 'version'>,
  prepare: (database: DatabaseSync) => T,
): Promise<T | undefined> {
  if (!(await hasBytes(path))) return undefined;
  const sqlite = await loadSqlite();
  const url = pathToFileURL(path);
  // Without journals nobody has it open, and SQLite would make them: https://www.sqlite.org/wal.html#read_only_databases
  url.search = (await hasBytes(`${path}-wal`)) ? 'readonly_shm=1' : 'immutable=1';
  const database = new sqlite.DatabaseSync(url, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
  try {
    if (storedVersion(database) === version) return prepare(database);
  } catch (error) {
    database.close();
    throw error;
  }
  database.close();
  return undefined;
}

async function hasBytes(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && found.size > 0;
}

/** Whether another process held the lock for too long. */
export function isBusy(error: unknown): boolean {
  return sqliteResultCode(error) === SQLITE_BUSY;
}

/**
 * Closes a database that failed while it was in use. One that is damaged is set aside, so that the next run starts with a new file;
 * where that fails as well, the next run finds out.
 */
export function retire(path: string, database: { close(): void }, error: unknown): void {
  database.close();
  if (!isDamaged(error)) return;
  try {
    setAside(path);
  } catch {
    // The error that led here is the one to report.
  }
}

/** A database and the journals that SQLite keeps beside it, while it is open and after its process was killed. */
export function databaseFiles(path: string): readonly string[] {
  return [path, `${path}-wal`, `${path}-shm`];
}

async function createForOwner(path: string): Promise<void> {
  await makeDirectory(dirname(path), 0o700);
  // SQLite would make it readable for all; its journals take over the mode that they find here.
  const file = await open(path, 'a', 0o600);
  await file.close();
}

function setUp(database: DatabaseSync, { path, version, schema }: DatabaseFileOptions): void {
  const found = storedVersion(database);
  if (found > version) {
    throw new ImgcopyError(`opening ${path}: expected version ${version} at most, found ${found}`, {
      code: 'ERR_DATABASE_NEWER',
      hint: 'this file was written by a newer imgcopy; upgrade, or delete the file',
    });
  }
  // NORMAL may lose the last transactions in a power cut, but not the file, and spares a sync per transaction.
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY');
  if (found === version) return;
  inTransaction(database, () => {
    // Another process may have made the tables since.
    if (storedVersion(database) !== version) database.exec(`${schema}; PRAGMA user_version = ${version}`);
  });
}

function storedVersion(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
}

// While the tables are made or the statements prepared, no other mistake is left for SQLite to complain of.
function hasOtherTables(error: unknown): boolean {
  return sqliteResultCode(error) === SQLITE_ERROR;
}

function isDamaged(error: unknown): boolean {
  const code = sqliteResultCode(error);
  return code === SQLITE_CORRUPT || code === SQLITE_NOTADB;
}

/** Renames a database to `<path>.corrupt`, over an earlier one. */
function setAside(path: string): void {
  renameSync(path, `${path}.corrupt`);
  for (const journal of databaseFiles(path)) rmSync(journal, { force: true });
}
