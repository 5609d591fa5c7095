import type * as sqlite from 'node:sqlite';
import { ImgcopyError } from '../errors/imgcopy-error.ts';

/** SQLite's primary result codes that callers act upon. @see https://www.sqlite.org/rescode.html */
export const SQLITE_ERROR = 1;
export const SQLITE_BUSY = 5;
export const SQLITE_CORRUPT = 11;
export const SQLITE_NOTADB = 26;

/**
 * Loads `node:sqlite` when it is first needed, without the warning that it is experimental. Every other warning passes.
 *
 * @throws ImgcopyError (`ERR_SQLITE_MISSING`) where this Node.js comes without it or runs with `--no-experimental-sqlite`.
 */
export async function loadSqlite(): Promise<typeof sqlite> {
  const found = withoutSqliteWarning(() => process.getBuiltinModule('node:sqlite') as typeof sqlite | undefined);
  if (found !== undefined) return found;
  throw new ImgcopyError(`loading node:sqlite: Node.js ${process.version} does not offer it`, {
    code: 'ERR_SQLITE_MISSING',
    hint: 'run a build of Node.js with SQLite, without --no-experimental-sqlite',
  });
}

/** The primary result code of an error of SQLite's, or undefined for any other error. */
export function sqliteResultCode(error: unknown): number | undefined {
  const code = error instanceof Error && 'errcode' in error ? error.errcode : undefined;
  return typeof code === 'number' ? code & 0xff : undefined;
}

/**
 * Runs statements as one transaction that takes the write lock at its beginning, so that it cannot fail half-way for want of it. An
 * error rolls it back.
 */
export function inTransaction<T>(database: sqlite.DatabaseSync, run: () => T): T {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = run();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    // A full disk, among others, has rolled it back already.
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

// Node.js before 24.15 warns while the module loads. The load is synchronous, so no other code can meet the replaced function.
function withoutSqliteWarning<T>(load: () => T): T {
  // eslint-disable-next-line typescript/unbound-method -- only put back, and called on process
  const emitWarning = process.emitWarning;
  process.emitWarning = (warning: string | Error, ...rest: unknown[]): void => {
    if (rest[0] === 'ExperimentalWarning' && String(warning).startsWith('SQLite ')) return;
    Reflect.apply(emitWarning, process, [warning, ...rest]);
  };
  try {
    return load();
  } finally {
    process.emitWarning = emitWarning;
  }
}
