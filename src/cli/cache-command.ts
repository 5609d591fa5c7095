import {
  cachePath,
  cacheStats,
  clearCache,
  homeDirectory,
  ImgcopyError,
  printable,
  printableJson,
  type CacheStats,
} from '../index.ts';
import { forTerminal, formatBytes } from './format.ts';

/** imgcopy cache path, stats or clear */
export async function runCache(
  action: 'path' | 'stats' | 'clear',
  { json }: { readonly json?: boolean },
): Promise<void> {
  const path = cachePath(process.env, homeDirectory());
  if (path === undefined) throw noPlace();
  if (action === 'path') {
    process.stdout.write(`${forTerminal(path)}\n`);
  } else if (action === 'stats') {
    const stats = await cacheStats(path);
    process.stdout.write(json ? `${printableJson(stats)}\n` : table(stats));
  } else {
    await clearCache(path);
    process.stderr.write(`removed ${printable(path)}\n`);
  }
}

function noPlace(): ImgcopyError {
  return new ImgcopyError('there is no cache: the user has no home directory', {
    code: 'ERR_NO_HOME',
    kind: 'usage',
    hint: 'set XDG_CACHE_HOME to a directory, as an absolute path',
  });
}

function table({ path, bytes, locations, pairs, chunkedBlobs, hosts }: CacheStats): string {
  const rows = [
    ['file', printable(path)],
    ['size', formatBytes(bytes)],
    ['known blob locations', locations],
    ['blobs whose uncompressed digest is known', pairs],
    ['layers with a table of contents', chunkedBlobs],
    ['hosts with known capabilities', hosts],
  ] as const;
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join('');
}
