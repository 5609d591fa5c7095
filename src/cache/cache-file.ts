import { rm, stat } from 'node:fs/promises';
import { ImgcopyError, systemErrorCode } from '../errors/imgcopy-error.ts';
import { loadSqlite } from '../io/sqlite.ts';
import { databaseFiles } from './database-file.ts';
import { userFile } from './user-directories.ts';

/** What a cache file holds, as `imgcopy cache stats` shows it. */
export interface CacheStats {
  readonly path: string;
  /** On disk, with the journals beside it; 0 when there is no cache. */
  readonly bytes: number;
  readonly locations: number;
  readonly pairs: number;
  readonly chunkedBlobs: number;
  /** Hosts whose abilities are known. */
  readonly hosts: number;
}

const COUNTS = `SELECT
  (SELECT count(*) FROM known_locations) AS locations,
  (SELECT count(*) FROM uncompressed_pairs) AS pairs,
  (SELECT count(*) FROM chunked_blobs) AS chunkedBlobs,
  (SELECT count(DISTINCT host) FROM host_abilities) AS hosts`;

/** `$XDG_CACHE_HOME/imgcopy/blob-info-cache-v1.sqlite`, or the same in ~/.cache; undefined where there is neither. */
export function cachePath(
  env: Readonly<Record<string, string | undefined>>,
  homeDir: string | undefined,
): string | undefined {
  return userFile('XDG_CACHE_HOME', { env, homeDir }, '.cache', 'blob-info-cache-v1.sqlite');
}

/**
 * Counts what a cache holds, without changing it.
 *
 * @throws ImgcopyError (`ERR_CACHE_UNREADABLE`) when there is a file that cannot be read as a cache.
 */
export async function cacheStats(path: string): Promise<CacheStats> {
  const sizes = await Promise.all(databaseFiles(path).map(sizeOf));
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  const stats = { path, bytes, locations: 0, pairs: 0, chunkedBlobs: 0, hosts: 0 };
  if (sizes[0] === 0) return stats;

  const { DatabaseSync } = await loadSqlite();
  try {
    // Not read-only: such a connection makes the journals and cannot remove them.
    const database = new DatabaseSync(path, { timeout: 1000 });
    try {
      return { ...stats, ...database.prepare(COUNTS).get() };
    } finally {
      database.close();
    }
  } catch (error) {
    throw new ImgcopyError(`reading the blob info cache ${path}: ${(error as Error).message}`, {
      code: 'ERR_CACHE_UNREADABLE',
      hint: 'remove it with `imgcopy cache clear`',
      cause: error,
    });
  }
}

/** Removes a cache with all that lies beside it. Copies that are running continue, and keep nothing. */
export async function clearCache(path: string): Promise<void> {
  await Promise.all(
    [...databaseFiles(path), ...databaseFiles(`${path}.corrupt`)].map((file) => rm(file, { force: true })),
  );
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return 0;
    throw error;
  }
}
