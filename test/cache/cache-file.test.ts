import assert from 'node:assert/strict';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { cachePath, cacheStats, clearCache } from '../../src/cache/cache-file.ts';
import { openBlobInfoCache } from '../../src/cache/sqlite-cache.ts';
import { digestNamed, scratchUser } from './scratch.ts';

const empty = { bytes: 0, locations: 0, pairs: 0, chunkedBlobs: 0, hosts: 0 };

test('the cache lies where the XDG directories say', () => {
  const inHome = '/home/me/.cache/imgcopy/blob-info-cache-v1.sqlite';
  assert.equal(cachePath({}, '/home/me'), inHome);
  assert.equal(cachePath({ XDG_CACHE_HOME: '' }, '/home/me'), inHome);
  assert.equal(cachePath({ XDG_CACHE_HOME: 'relative' }, '/home/me'), inHome);
  assert.equal(cachePath({ XDG_CACHE_HOME: '/cache' }, '/home/me'), '/cache/imgcopy/blob-info-cache-v1.sqlite');
});

test('counts what a cache holds, while it is open and after', async (t) => {
  const user = await scratchUser(t);
  const path = user.cachePath;
  assert.deepEqual(await cacheStats(path), { path, ...empty });
  const counts = { path, locations: 2, pairs: 1, chunkedBlobs: 1, hosts: 2 };

  const cache = await openBlobInfoCache(user);
  const digest = digestNamed('layer');
  cache.recordKnownLocation(digest, { registry: 'registry.test', repository: 'app' });
  cache.recordKnownLocation(digest, { registry: 'registry.test', repository: 'base' });
  cache.recordDigestUncompressedPair(digest, digestNamed('tar'));
  cache.recordChunkedBlob({ digest, size: 100, format: 'estargz' });
  cache.recordHostAbility('registry.test', 'ranges', 1);
  cache.recordHostAbility('registry.test', 'self-mount', 1);
  cache.recordHostAbility('mirror.test', 'ranges', 0);
  const { bytes, ...whileOpen } = await cacheStats(path);
  assert.ok(bytes > (await stat(path)).size, 'the journals count as well');
  assert.deepEqual(whileOpen, { path, locations: 0, pairs: 0, chunkedBlobs: 0, hosts: 0 });
  cache[Symbol.dispose]();
  const filesBefore = await readdir(dirname(path));
  assert.deepEqual(await cacheStats(path), { ...counts, bytes: (await stat(path)).size });
  assert.deepEqual(await readdir(dirname(path)), filesBefore);
});

test('clearing removes every file of the cache, and nothing else', async (t) => {
  const user = await scratchUser(t);
  const directory = dirname(user.cachePath);
  await mkdir(directory, { recursive: true });
  await writeFile(`${user.cachePath}.corrupt`, 'an old one');
  await writeFile(`${directory}/other`, '');
  const cache = await openBlobInfoCache(user);
  await clearCache(user.cachePath);
  assert.deepEqual(await readdir(directory), ['other']);
  cache.recordKnownLocation(digestNamed('layer'), { registry: 'registry.test', repository: 'app' });
  cache[Symbol.dispose]();
  assert.deepEqual(await cacheStats(user.cachePath), { path: user.cachePath, ...empty });
  await clearCache(user.cachePath);
});

test('a cache that cannot be read is an error that says how to get rid of it', async (t) => {
  const { cachePath: path } = await scratchUser(t);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, 'garbage, for certain, and enough of it to be no database at all'.repeat(50));
  await assert.rejects(cacheStats(path), { code: 'ERR_CACHE_UNREADABLE', hint: /imgcopy cache clear/ });
});
