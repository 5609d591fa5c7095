import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';
import { type Digest, isDigest } from '../digest/digest.ts';
import { inTransaction } from '../io/sqlite.ts';
import { COMPRESSION_ALGORITHMS, type CompressionAlgorithm } from '../manifest/layer-compression.ts';
import type { ChunkedBlob, HostAbility, KnownLocation } from '../contract/blob-info-cache.ts';
import { CACHE_TABLES, OVERLAY_SCHEMA } from './cache-schema.ts';
import type { Sighting } from './candidates.ts';

type Row = Record<string, SQLOutputValue>;

/** Times in milliseconds since 1970. */
export interface PruneLimits {
  readonly locationsBefore: number;
  readonly abilitiesBefore: number;
  /** A table keeps this many rows, those recorded last. */
  readonly maxRows: number;
  readonly now: number;
}

// More places or forms than these could not all become candidates, and more digests than these would take too long to look through.
const MAX_SIGHTINGS = 5;
const MAX_FORMS = 32;
const MAX_DIGESTS = 1000;

/**
 * The cache's facts in a database that has CACHE_SCHEMA: each method is a statement, prepared once. What is recorded stays in memory,
 * and is read back from there, until `flush`. What comes out of the file is checked, for a failing disk may have changed it.
 *
 * @throws SQLite's error, from every method.
 */
export class CacheTables {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #flush: readonly StatementSync[];

  constructor(database: DatabaseSync) {
    this.#database = database;
    database.exec(OVERLAY_SCHEMA);
    // Prepared at once, which fails where the file has other tables than these.
    this.#flush = CACHE_TABLES.flatMap((name) => [
      database.prepare(`INSERT OR REPLACE INTO main.${name} SELECT * FROM temp.fresh_${name} ORDER BY rowid`),
      database.prepare(`DELETE FROM temp.fresh_${name}`),
    ]);
  }

  /** The uncompressed digest of a blob, which is its own where it is that of another. */
  uncompressedDigest(digest: Digest): Digest | undefined {
    const sql = 'SELECT uncompressed AS digest FROM all_uncompressed_pairs WHERE digest = ?';
    return digestIn(this.#row(sql, digest)) ?? (this.compressedForms(digest).length > 0 ? digest : undefined);
  }

  /** Blobs whose uncompressed digest this is. */
  compressedForms(uncompressed: Digest): readonly Digest[] {
    const sql = 'SELECT digest FROM all_uncompressed_pairs WHERE uncompressed = ? LIMIT ?';
    return this.#rows(sql, uncompressed, MAX_FORMS).flatMap((row) => digestIn(row) ?? []);
  }

  putUncompressedPair(digest: Digest, uncompressed: Digest): void {
    this.#put('uncompressed_pairs', digest, uncompressed);
  }

  compressor(digest: Digest): CompressionAlgorithm | undefined {
    const found = this.#row('SELECT algorithm FROM all_compressors WHERE digest = ?', digest)?.['algorithm'];
    return COMPRESSION_ALGORITHMS.find((algorithm) => algorithm === found);
  }

  putCompressor(digest: Digest, algorithm: CompressionAlgorithm): void {
    this.#put('compressors', digest, algorithm);
  }

  /** Where a blob was seen on a registry after a time, newest first. */
  sightings(registry: string, digest: Digest, after: number): readonly Sighting[] {
    const sql = `SELECT repository, seen_at FROM all_known_locations
      WHERE registry = ? AND digest = ? AND seen_at > ? ORDER BY seen_at DESC, repository LIMIT ?`;
    return this.#rows(sql, registry, digest, after, MAX_SIGHTINGS).map((row) => ({
      location: { registry, repository: String(row['repository']) },
      seenAt: Number(row['seen_at']),
    }));
  }

  putLocation(digest: Digest, { registry, repository }: KnownLocation, seenAt: number): void {
    this.#put('known_locations', registry, digest, repository, seenAt);
  }

  /** Goes to the file at once, unlike what is recorded: there is no row that could stand for its absence. */
  deleteLocation(digest: Digest, { registry, repository }: KnownLocation): void {
    for (const table of ['temp.fresh_known_locations', 'main.known_locations']) {
      const sql = `DELETE FROM ${table} WHERE registry = ? AND digest = ? AND repository = ?`;
      this.#statement(sql).run(registry, digest, repository);
    }
  }

  /** Blobs with a table of contents that were seen in a place after a time, newest first. */
  chunkedBlobs({ registry, repository }: KnownLocation, after: number, limit: number): readonly ChunkedBlob[] {
    // With seen_at among the columns SQLite reads the index in order and stops at the limit; without it, it sorts all rows.
    const sql = `SELECT digest, seen_at FROM all_known_locations
      WHERE registry = ? AND repository = ? AND seen_at > ? ORDER BY seen_at DESC LIMIT ?`;
    const found: ChunkedBlob[] = [];
    for (const row of this.#rows(sql, registry, repository, after, MAX_DIGESTS)) {
      if (found.length >= limit) break;
      const digest = digestIn(row);
      const blob = digest === undefined ? undefined : this.#chunkedBlob(digest);
      if (blob !== undefined) found.push(blob);
    }
    return found;
  }

  putChunkedBlob({ digest, size, format }: ChunkedBlob): void {
    this.#put('chunked_blobs', digest, size, format);
  }

  ability(host: string, ability: HostAbility, after: number): number | undefined {
    const sql = 'SELECT value FROM all_host_abilities WHERE host = ? AND ability = ? AND seen_at > ?';
    const value = this.#row(sql, host, ability, after)?.['value'];
    return typeof value === 'number' ? value : undefined;
  }

  putAbility(host: string, ability: HostAbility, value: number, seenAt: number): void {
    this.#put('host_abilities', host, ability, value, seenAt);
  }

  /** Stores what was recorded since the last time, in one transaction. When it fails, all of it stays in memory. */
  flush(): void {
    inTransaction(this.#database, () => this.#flush.forEach((statement) => statement.run()));
  }

  /** Hands on what is not stored yet. */
  copyFreshTo(other: CacheTables): void {
    for (const name of CACHE_TABLES) {
      for (const row of this.#rows(`SELECT * FROM temp.fresh_${name} ORDER BY rowid`)) {
        other.#put(name, ...Object.values(row));
      }
    }
  }

  prunedAt(): number {
    return Number(this.#row('SELECT pruned_at FROM main.maintenance')?.['pruned_at'] ?? 0);
  }

  prune({ locationsBefore, abilitiesBefore, maxRows, now }: PruneLimits): void {
    inTransaction(this.#database, () => {
      this.#statement('DELETE FROM main.known_locations WHERE seen_at <= ?').run(locationsBefore);
      this.#statement('DELETE FROM main.host_abilities WHERE seen_at <= ?').run(abilitiesBefore);
      for (const name of CACHE_TABLES) {
        // A row that is recorded again gets a new rowid, the highest, so that these are the oldest ones.
        const sql = `DELETE FROM main.${name} WHERE rowid <= (SELECT max(rowid) FROM main.${name}) - ?`;
        this.#statement(sql).run(maxRows);
      }
      this.#statement('UPDATE main.maintenance SET pruned_at = ?').run(now);
    });
  }

  close(): void {
    this.#database.close();
  }

  #chunkedBlob(digest: Digest): ChunkedBlob | undefined {
    const row = this.#row('SELECT size, format FROM all_chunked_blobs WHERE digest = ?', digest);
    if (row === undefined) return undefined;
    const { size, format } = row;
    if (typeof size !== 'number' || size < 1) return undefined;
    return format === 'zstd:chunked' || format === 'estargz' ? { digest, size, format } : undefined;
  }

  #put(table: string, ...values: SQLInputValue[]): void {
    const places = values.map(() => '?').join(', ');
    this.#statement(`INSERT OR REPLACE INTO temp.fresh_${table} VALUES (${places})`).run(...values);
  }

  #row(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#statement(sql).get(...values);
  }

  #rows(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#statement(sql).all(...values);
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

function digestIn(row: Row | undefined): Digest | undefined {
  const digest = row?.['digest'];
  return typeof digest === 'string' && isDigest(digest) ? digest : undefined;
}
