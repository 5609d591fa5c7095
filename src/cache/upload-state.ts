import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Digest } from '../digest/digest.ts';
import { inTransaction } from '../io/sqlite.ts';
import { isBusy, openDatabaseFile, retire } from './database-file.ts';
import { type UserDirectories, userFile } from './user-directories.ts';

/** The blob that an upload session is for, and where it goes. */
export interface UploadTarget {
  readonly registry: string;
  readonly repository: string;
  readonly digest: Digest;
}

/** An upload session that a registry keeps open. */
export interface OpenUpload {
  /** The session's URL, as the registry gave it last. It may carry a secret: never to be logged. */
  readonly location: string;
  /** How many bytes the registry has, as far as is known; it is to be asked before going on. */
  readonly offset: number;
}

/** What is known of a session that is about to be left open. */
export interface InterruptedUpload extends UploadTarget, OpenUpload {
  /** Of the whole blob, in bytes. */
  readonly size: number;
  /** Whether it holds bytes that came from other blobs. Nobody has hashed these yet, so such a session is not resumed. */
  readonly reusedPieces: boolean;
}

/**
 * The upload sessions that interrupted runs left open, shared by all imgcopy processes of a user. No method throws, and each waits 50 ms
 * at most for another process.
 */
export interface UploadState extends Disposable {
  /**
   * Notes a session for a later run.
   * @returns false when it could not be noted or is not to be resumed: nobody will come back to it, so it should be deleted.
   */
  remember(upload: InterruptedUpload): boolean;
  /**
   * Takes the session that came farthest. Nobody else gets it after that, for two processes that append to one session spoil it.
   */
  claim(target: UploadTarget): OpenUpload | undefined;
  /** Drops all sessions for a blob, once the blob is there. */
  forget(target: UploadTarget): void;
}

export interface UploadStateOptions extends UserDirectories {
  /** Called at most once, when the file cannot be used. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Milliseconds since 1970. Default `Date.now`. */
  readonly now?: (() => number) | undefined;
}

// distribution purges uploads after a week; see https://distribution.github.io/distribution/about/configuration/#uploadpurging
const LIFETIME_MS = 6 * 24 * 60 * 60 * 1000;

const VERSION = 1;

const SCHEMA = `CREATE TABLE uploads (
    registry TEXT NOT NULL, repository TEXT NOT NULL, digest TEXT NOT NULL, location TEXT NOT NULL,
    size INTEGER NOT NULL, received INTEGER NOT NULL, saved_at INTEGER NOT NULL,
    PRIMARY KEY (registry, repository, digest, location)
  ) STRICT`;

const OF_TARGET = 'registry = ? AND repository = ? AND digest = ?';

/**
 * Opens `$XDG_STATE_HOME/imgcopy/uploads.sqlite`, or the same in ~/.local/state. Never rejects: where the file cannot be used, no
 * session is remembered; one that is garbage is set aside.
 */
export async function openUploadState(options: UploadStateOptions): Promise<UploadState> {
  const { onWarning, now = Date.now } = options;
  const path = userFile('XDG_STATE_HOME', options, '.local/state', 'uploads.sqlite');
  const state = new SqliteUploadState(path, onWarning);
  await state.open(now);
  return state;
}

class SqliteUploadState implements UploadState {
  readonly #path: string;
  readonly #onWarning: ((message: string) => void) | undefined;
  #uploads: UploadTable | undefined;

  constructor(path: string, onWarning: ((message: string) => void) | undefined) {
    this.#path = path;
    this.#onWarning = onWarning;
  }

  async open(now: () => number): Promise<void> {
    const file = { path: this.#path, version: VERSION, schema: SCHEMA };
    try {
      this.#uploads = await openDatabaseFile(file, (database) => new UploadTable(database, now));
    } catch (error) {
      this.#warn(error);
    }
  }

  remember(upload: InterruptedUpload): boolean {
    if (upload.reusedPieces) return false;
    return this.#ask((uploads) => uploads.insert(upload), false);
  }

  claim(target: UploadTarget): OpenUpload | undefined {
    return this.#ask((uploads) => uploads.take(target), undefined);
  }

  forget(target: UploadTarget): void {
    this.#ask((uploads) => uploads.delete(target), undefined);
  }

  [Symbol.dispose](): void {
    this.#uploads?.close();
    this.#uploads = undefined;
  }

  #ask<T>(query: (uploads: UploadTable) => T, otherwise: T): T {
    const uploads = this.#uploads;
    if (uploads === undefined) return otherwise;
    try {
      return query(uploads);
    } catch (error) {
      if (!isBusy(error)) this.#giveUpFile(uploads, error);
      return otherwise;
    }
  }

  #giveUpFile(uploads: UploadTable, error: unknown): void {
    this.#uploads = undefined;
    retire(this.#path, uploads, error);
    this.#warn(error);
  }

  #warn(error: unknown): void {
    this.#onWarning?.(
      `state of uploads ${this.#path}: ${error instanceof Error ? error.message : String(error)}, not used in this run`,
    );
  }
}

/** The statements, each prepared once. */
class UploadTable {
  readonly #database: DatabaseSync;
  readonly #now: () => number;
  readonly #insert: StatementSync;
  readonly #deleteExpired: StatementSync;
  readonly #find: StatementSync;
  readonly #take: StatementSync;
  readonly #delete: StatementSync;

  constructor(database: DatabaseSync, now: () => number) {
    this.#database = database;
    this.#now = now;
    const best = `FROM uploads WHERE ${OF_TARGET} AND saved_at > ? ORDER BY received DESC LIMIT 1`;
    this.#insert = database.prepare('INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?)');
    this.#deleteExpired = database.prepare('DELETE FROM uploads WHERE saved_at <= ?');
    this.#find = database.prepare(`SELECT 1 ${best}`);
    this.#take = database.prepare(
      `DELETE FROM uploads WHERE rowid = (SELECT rowid ${best}) RETURNING location, received`,
    );
    this.#delete = database.prepare(`DELETE FROM uploads WHERE ${OF_TARGET}`);
  }

  insert({ registry, repository, digest, location, size, offset }: InterruptedUpload): true {
    const now = this.#now();
    return inTransaction(this.#database, () => {
      this.#deleteExpired.run(now - LIFETIME_MS);
      this.#insert.run(registry, repository, digest, location, size, offset, now);
      return true;
    });
  }

  take({ registry, repository, digest }: UploadTarget): OpenUpload | undefined {
    const values = [registry, repository, digest, this.#now() - LIFETIME_MS];
    // Most blobs have none, and need no lock.
    if (this.#find.get(...values) === undefined) return undefined;
    // It counts as taken once the transaction is through, not before.
    const row = inTransaction(this.#database, () => this.#take.get(...values));
    return row && { location: String(row['location']), offset: Number(row['received']) };
  }

  delete({ registry, repository, digest }: UploadTarget): void {
    this.#delete.run(registry, repository, digest);
  }

  close(): void {
    this.#database.close();
  }
}
