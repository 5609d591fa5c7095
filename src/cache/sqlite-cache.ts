import { baseCompression, type CompressionAlgorithm } from '../manifest/layer-compression.ts';
import type { Digest } from '../digest/digest.ts';
import { loadSqlite } from '../io/sqlite.ts';
import type {
  BlobInfoCache,
  CandidateOptions,
  ChunkedBlob,
  HostAbility,
  KnownLocation,
  ReuseCandidate,
} from '../contract/blob-info-cache.ts';
import { cachePath } from './cache-file.ts';
import { CACHE_SCHEMA, CACHE_VERSION } from './cache-schema.ts';
import { CacheTables } from './cache-tables.ts';
import { CacheStore } from './cache-store.ts';
import { type CandidateFacts, candidateLocations } from './candidates.ts';
import { openDatabaseFile, readDatabaseFile } from './database-file.ts';
import { noCache } from './no-cache.ts';

export interface BlobInfoCacheOptions {
  /** Default: that of `cachePath`. */
  readonly path?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Undefined: there is none. */
  readonly homeDir: string | undefined;
  /** Called at most once, when the file cannot be used or not everything could be stored. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Milliseconds since 1970. Default `Date.now`. */
  readonly now?: (() => number) | undefined;
}

const DAY_MS = 24 * 60 * 60 * 1000;

// Many registries clean up after a month. A place that is gone costs a round trip, one that is forgotten no more than that.
const LOCATION_LIFETIME_MS = 30 * DAY_MS;

// Registries and the proxies before them change without notice; to learn an ability again costs a request or two.
const ABILITY_LIFETIME_MS = 7 * DAY_MS;

const PRUNE_INTERVAL_MS = DAY_MS;

// In each table: 50,000 blobs with all their facts make a file of about 50 MB.
const MAX_ROWS = 50_000;

/**
 * Opens the cache that all imgcopy processes of a user share. Never rejects: where there is no place for the file, or it cannot be used, the cache
 * lives in memory for this run; where Node.js has no SQLite, it keeps nothing.
 */
export async function openBlobInfoCache(options: BlobInfoCacheOptions): Promise<BlobInfoCache> {
  const { path = cachePath(options.env, options.homeDir), onWarning, now = Date.now } = options;
  let inMemory: () => CacheTables;
  try {
    inMemory = await memoryTables();
  } catch (error) {
    onWarning?.(unusable(path ?? 'in memory', error));
    return noCache();
  }
  if (path === undefined) return new SqliteCache(new CacheStore({ tables: inMemory(), inMemory }), now);
  try {
    const file = { path, version: CACHE_VERSION, schema: CACHE_SCHEMA };
    const tables = await openDatabaseFile(file, (database) => new CacheTables(database));
    return new SqliteCache(new CacheStore({ tables, path, inMemory, onWarning }), now);
  } catch (error) {
    onWarning?.(unusable(path, error));
    return new SqliteCache(new CacheStore({ tables: inMemory(), inMemory }), now);
  }
}

/**
 * Opens the cache to ask it alone: no file is made, and none is written to. What is recorded is forgotten. Never rejects: where there is no cache, it
 * knows nothing.
 */
export async function readBlobInfoCache(options: BlobInfoCacheOptions): Promise<BlobInfoCache> {
  const { path = cachePath(options.env, options.homeDir), onWarning, now = Date.now } = options;
  if (path === undefined) return noCache();
  try {
    const tables = await readDatabaseFile({ path, version: CACHE_VERSION }, (database) => new CacheTables(database));
    if (tables === undefined) return noCache();
    // Without a path, the store takes failures to write as they come.
    return new SqliteCache(new CacheStore({ tables, inMemory: await memoryTables() }), now);
  } catch (error) {
    onWarning?.(unusable(path, error));
    return noCache();
  }
}

/** Opens a cache that ends with the process. */
export async function openMemoryCache(options: Pick<BlobInfoCacheOptions, 'now'> = {}): Promise<BlobInfoCache> {
  const inMemory = await memoryTables();
  return new SqliteCache(new CacheStore({ tables: inMemory(), inMemory }), options.now ?? Date.now);
}

async function memoryTables(): Promise<() => CacheTables> {
  const { DatabaseSync } = await loadSqlite();
  return () => {
    const database = new DatabaseSync(':memory:');
    database.exec(CACHE_SCHEMA);
    return new CacheTables(database);
  };
}

function unusable(path: string, error: unknown): string {
  return `blob info cache ${path} is not used: ${error instanceof Error ? error.message : String(error)}`;
}

/** The contract's questions and records, put to the tables. */
class SqliteCache implements BlobInfoCache {
  readonly #store: CacheStore;
  readonly #now: () => number;

  constructor(store: CacheStore, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  uncompressedDigest(anyDigest: Digest): Digest | undefined {
    return this.#store.ask((tables) => tables.uncompressedDigest(anyDigest), undefined);
  }

  recordDigestUncompressedPair(anyDigest: Digest, uncompressed: Digest): void {
    this.#store.record((tables) => tables.putUncompressedPair(anyDigest, uncompressed));
  }

  compressor(digest: Digest): CompressionAlgorithm | undefined {
    return this.#store.ask((tables) => tables.compressor(digest), undefined);
  }

  recordCompressor(digest: Digest, algorithm: CompressionAlgorithm): void {
    const known = this.compressor(digest);
    // A variant stays, for who reads only a media type sees its base.
    if (known !== undefined && baseCompression(known) === algorithm) return;
    this.#store.record((tables) => tables.putCompressor(digest, algorithm));
  }

  recordKnownLocation(digest: Digest, location: KnownLocation): void {
    this.#store.record((tables) => tables.putLocation(digest, location, this.#now()));
  }

  forgetKnownLocation(digest: Digest, location: KnownLocation): void {
    this.#store.ask((tables) => tables.deleteLocation(digest, location), undefined);
  }

  candidateLocations2(registry: string, digest: Digest, options: CandidateOptions): readonly ReuseCandidate[] {
    const after = this.#now() - LOCATION_LIFETIME_MS;
    const candidates = (tables: CacheTables): readonly ReuseCandidate[] => {
      const facts: CandidateFacts = {
        uncompressedDigest: (blob) => tables.uncompressedDigest(blob),
        compressedForms: (uncompressed) => tables.compressedForms(uncompressed),
        compressor: (blob) => tables.compressor(blob),
        sightings: (blob) => tables.sightings(registry, blob, after),
      };
      return candidateLocations(facts, digest, options);
    };
    return this.#store.ask(candidates, []);
  }

  recordChunkedBlob(blob: ChunkedBlob): void {
    this.#store.record((tables) => tables.putChunkedBlob(blob));
  }

  chunkedBlobs(location: KnownLocation, limit: number): readonly ChunkedBlob[] {
    const after = this.#now() - LOCATION_LIFETIME_MS;
    return this.#store.ask((tables) => tables.chunkedBlobs(location, after, limit), []);
  }

  hostAbility(host: string, ability: HostAbility): number | undefined {
    const after = this.#now() - ABILITY_LIFETIME_MS;
    return this.#store.ask((tables) => tables.ability(host, ability, after), undefined);
  }

  recordHostAbility(host: string, ability: HostAbility, value: number): void {
    this.#store.record((tables) => tables.putAbility(host, ability, value, this.#now()));
  }

  [Symbol.dispose](): void {
    this.#store.close((tables) => pruneOnceADay(tables, this.#now()));
  }
}

function pruneOnceADay(tables: CacheTables, now: number): void {
  if (now - tables.prunedAt() < PRUNE_INTERVAL_MS) return;
  const locationsBefore = now - LOCATION_LIFETIME_MS;
  const abilitiesBefore = now - ABILITY_LIFETIME_MS;
  tables.prune({ locationsBefore, abilitiesBefore, maxRows: MAX_ROWS, now });
}
