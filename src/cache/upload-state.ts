import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Digest } from '../digest/digest.ts';
import { inTransaction, loadSqlite } from '../io/sqlite.ts';
import { isBusy, openDatabaseFile, readDatabaseFile, retire } from './database-file.ts';
import { NO_OWNER, UploadOwner } from './upload-owner.ts';
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
  /** How many bytes the registry has, as far as is known; it is to be asked before resuming. */
  readonly offset: number;
}

/** A session that is noted. */
export interface NotedUpload extends UploadTarget, OpenUpload {
  /** Of the whole blob, in bytes. */
  readonly size: number;
}

/**
 * The upload sessions that runs have opened and not closed yet, shared by all imgcopy processes of a user. A session belongs to the state that noted
 * or claimed it, until that leaves it, is disposed of, or dies with its process. No method throws, and each waits 50 ms at most for
 * another process.
 */
export interface UploadState extends Disposable {
  /**
   * Notes a session that is about to be written to, and belongs to this state.
   * @returns false when it could not be noted: nobody will come back to it, so it should be deleted where it is not closed.
   */
  remember(upload: NotedUpload): boolean;
  /** The session that `claim` would take, which it leaves where it is. */
  find(target: UploadTarget): OpenUpload | undefined;
  /**
   * Takes the session that came farthest, of those that belong to nobody. It belongs to this state from then on: two processes that append to one
   * session would spoil it.
   */
  claim(target: UploadTarget): OpenUpload | undefined;
  /**
   * Leaves a session of this state to whoever asks next.
   * @returns false when it is not noted.
   */
  leave(upload: UploadTarget & OpenUpload): boolean;
  /** Drops a session that is closed, or gone. */
  forget(upload: UploadTarget & Pick<OpenUpload, 'location'>): void;
}

export interface UploadStateOptions extends UserDirectories {
  /** Called at most once, when the file cannot be used. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Milliseconds since 1970. Default `Date.now`. */
  readonly now?: (() => number) | undefined;
  /** Sessions are only looked for: no file is made, and none is written to. Default false. */
  readonly readOnly?: boolean | undefined;
}

// distribution purges uploads after a week; see https://distribution.github.io/distribution/about/configuration/#uploadpurging
const LIFETIME_MS = 6 * 24 * 60 * 60 * 1000;

const VERSION = 1;

const SCHEMA = `CREATE TABLE uploads (
    registry TEXT NOT NULL, repository TEXT NOT NULL, digest TEXT NOT NULL, location TEXT NOT NULL,
    size INTEGER NOT NULL, received INTEGER NOT NULL, saved_at INTEGER NOT NULL, owner TEXT NOT NULL,
    PRIMARY KEY (registry, repository, digest, location)
  ) STRICT`;

const OF_TARGET = 'registry = ? AND repository = ? AND digest = ?';

/**
 * Opens `$XDG_STATE_HOME/imgcopy/uploads.sqlite`, or the same in ~/.local/state. Never rejects: where there is no place for the file, or it cannot be used, no
 * session is remembered; one that is garbage is set aside.
 */
export async function openUploadState(options: UploadStateOptions): Promise<UploadState> {
  const { onWarning, now = Date.now, readOnly = false } = options;
  const path = userFile('XDG_STATE_HOME', options, '.local/state', 'uploads.sqlite');
  if (path === undefined) return NO_STATE;
  const state = new SqliteUploadState(path, onWarning);
  await state.open(now, { readOnly });
  return state;
}

/** Notes nothing. */
const NO_STATE: UploadState = {
  remember: () => false,
  find: () => undefined,
  claim: () => undefined,
  leave: () => false,
  forget: () => undefined,
  [Symbol.dispose]: () => undefined,
};

class SqliteUploadState implements UploadState {
  readonly #path: string;
  readonly #onWarning: ((message: string) => void) | undefined;
  #uploads: UploadTable | undefined;

  constructor(path: string, onWarning: ((message: string) => void) | undefined) {
    this.#path = path;
    this.#onWarning = onWarning;
  }

  async open(now: () => number, { readOnly }: { readonly readOnly: boolean }): Promise<void> {
    const file = { path: this.#path, version: VERSION, schema: SCHEMA };
    try {
      const owner = new UploadOwner(await loadSqlite(), this.#path);
      const open = readOnly ? readDatabaseFile : openDatabaseFile;
      this.#uploads = await open(file, (database) => new UploadTable(database, owner, now));
    } catch (error) {
      this.#warn(error);
    }
  }

  remember(upload: NotedUpload): boolean {
    return this.#ask((uploads) => uploads.insert(upload), false);
  }

  find(target: UploadTarget): OpenUpload | undefined {
    return this.#ask((uploads) => uploads.abandoned(target), undefined);
  }

  claim(target: UploadTarget): OpenUpload | undefined {
    return this.#ask((uploads) => uploads.take(target), undefined);
  }

  leave(upload: UploadTarget & OpenUpload): boolean {
    return this.#ask((uploads) => uploads.disown(upload), false);
  }

  forget(upload: UploadTarget & Pick<OpenUpload, 'location'>): void {
    this.#ask((uploads) => uploads.delete(upload), undefined);
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
  readonly #owner: UploadOwner;
  readonly #now: () => number;
  readonly #insert: StatementSync;
  readonly #deleteExpired: StatementSync;
  readonly #find: StatementSync;
  readonly #take: StatementSync;
  readonly #disown: StatementSync;
  readonly #delete: StatementSync;

  constructor(database: DatabaseSync, owner: UploadOwner, now: () => number) {
    this.#database = database;
    this.#owner = owner;
    this.#now = now;
    this.#insert = database.prepare('INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
    this.#deleteExpired = database.prepare('DELETE FROM uploads WHERE saved_at <= ?');
    this.#find = database.prepare(
      `SELECT location, received, owner FROM uploads WHERE ${OF_TARGET} AND saved_at > ? ORDER BY received DESC`,
    );
    this.#take = database.prepare(`UPDATE uploads SET owner = ? WHERE ${OF_TARGET} AND location = ?`);
    this.#disown = database.prepare(
      `UPDATE uploads SET owner = '${NO_OWNER}', received = ?, saved_at = ? WHERE ${OF_TARGET} AND location = ?`,
    );
    this.#delete = database.prepare(`DELETE FROM uploads WHERE ${OF_TARGET} AND location = ?`);
  }

  insert({ registry, repository, digest, location, size, offset }: NotedUpload): true {
    const now = this.#now();
    const owner = this.#owner.name;
    return inTransaction(this.#database, () => {
      this.#deleteExpired.run(now - LIFETIME_MS);
      this.#insert.run(registry, repository, digest, location, size, offset, now, owner);
      return true;
    });
  }

  take(target: UploadTarget): OpenUpload | undefined {
    // Most blobs have none, and need no lock.
    if (this.abandoned(target) === undefined) return undefined;
    const owner = this.#owner.name;
    // It counts as taken once the transaction is through, not before.
    return inTransaction(this.#database, () => {
      const upload = this.abandoned(target);
      if (upload !== undefined) this.#take.run(owner, ...keyOf(target), upload.location);
      return upload;
    });
  }

  disown({ location, offset, ...target }: UploadTarget & OpenUpload): boolean {
    return this.#disown.run(offset, this.#now(), ...keyOf(target), location).changes > 0;
  }

  delete({ location, ...target }: UploadTarget & Pick<OpenUpload, 'location'>): void {
    this.#delete.run(...keyOf(target), location);
  }

  close(): void {
    this.#database.close();
    this.#owner[Symbol.dispose]();
  }

  /** The session that came farthest, of those that belong to nobody. */
  abandoned(target: UploadTarget): OpenUpload | undefined {
    const rows = this.#find.all(...keyOf(target), this.#now() - LIFETIME_MS);
    const row = rows.find(({ owner }) => this.#owner.isGone(String(owner)));
    return row && { location: String(row['location']), offset: Number(row['received']) };
  }
}

function keyOf({ registry, repository, digest }: UploadTarget): readonly [string, string, string] {
  return [registry, repository, digest];
}
