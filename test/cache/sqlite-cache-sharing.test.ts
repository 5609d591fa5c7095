import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { openBlobInfoCache } from '../../src/cache/sqlite-cache.ts';
import type { BlobInfoCache } from '../../src/contract/blob-info-cache.ts';
import { startProcess } from './processes.ts';
import { digestNamed, openCache, type ScratchUser, scratchUser } from './scratch.ts';

const layer = digestNamed('layer');
const app = { registry: 'registry.test', repository: 'app' };

function repositoriesOf(cache: BlobInfoCache): readonly (string | undefined)[] {
  return cache
    .candidateLocations2('registry.test', layer, { canSubstitute: false })
    .map(({ location }) => location?.repository);
}

/** Opens a cache that is expected to go on in memory, and tells what it warns of. */
async function openUnusable(user: ScratchUser): Promise<{ cache: BlobInfoCache; warnings: readonly string[] }> {
  const warnings: string[] = [];
  const cache = await openBlobInfoCache({ ...user, onWarning: (message) => warnings.push(message) });
  cache.recordKnownLocation(layer, app);
  assert.deepEqual(repositoriesOf(cache), ['app']);
  return { cache, warnings };
}

test('processes that start on a new cache at the same time all use it', async (t) => {
  const user = await scratchUser(t);
  const processes = Array.from({ length: 3 }, () => startProcess(t, user.homeDir));
  const names = processes.map((_, number) => Array.from({ length: 40 }, (_each, index) => `${number}-${index}`));
  const answers = await Promise.all(processes.map((one, number) => one.run('record', names[number]!.join())));
  assert.deepEqual(
    answers.flatMap(({ warnings }) => warnings),
    [],
  );

  using cache = await openCache(user);
  const unknown = names
    .flat()
    .filter(
      (name) => cache.candidateLocations2('registry.test', digestNamed(name), { canSubstitute: false }).length === 0,
    );
  assert.deepEqual(unknown, []);
});

test('two processes see what the other has stored while both are open', async (t) => {
  const user = await scratchUser(t);
  using cache = await openCache(user);
  assert.deepEqual(repositoriesOf(cache), []);
  const answer = await startProcess(t, user.homeDir).run('record', 'layer');
  assert.deepEqual(answer.warnings, []);
  assert.equal(repositoriesOf(cache).length, 1);
});

test('a cache that another process keeps locked is left alone for this run (behaviour 72)', async (t) => {
  const user = await scratchUser(t);
  (await openCache(user))[Symbol.dispose]();
  const holder = startProcess(t, user.homeDir);
  await holder.run('lock', user.cachePath);

  const { cache, warnings } = await openUnusable(user);
  cache[Symbol.dispose]();
  assert.deepEqual(warnings, [`blob info cache ${user.cachePath} is not used: database is locked`]);

  await holder.end();
  using later = await openCache(user);
  assert.deepEqual(repositoriesOf(later), []);
});

test('a corrupt cache is set aside and a new one begun (behaviour 72)', async (t) => {
  const user = await scratchUser(t);
  await mkdir(dirname(user.cachePath), { recursive: true });
  await writeFile(user.cachePath, 'this is no database, and long enough to be sure of it'.repeat(100));
  {
    using cache = await openCache(user);
    cache.recordKnownLocation(layer, app);
  }
  using cache = await openCache(user);
  assert.deepEqual(repositoriesOf(cache), ['app']);
  assert.match(await readFile(`${user.cachePath}.corrupt`, 'utf8'), /^this is no database/);
});

for (const [what, sql] of [
  ['no version', 'CREATE TABLE known_locations (something_else TEXT)'],
  ['our version', 'CREATE TABLE known_locations (something_else TEXT); PRAGMA user_version = 1'],
] as const) {
  test(`a database with ${what} and other tables is set aside`, async (t) => {
    const user = await scratchUser(t);
    await mkdir(dirname(user.cachePath), { recursive: true });
    new DatabaseSync(user.cachePath).exec(sql);
    using cache = await openCache(user);
    cache.recordKnownLocation(layer, app);
    assert.deepEqual(repositoriesOf(cache), ['app']);
    assert.ok(existsSync(`${user.cachePath}.corrupt`));
  });
}

test('a cache of a later version is neither used nor changed (behaviour 72)', async (t) => {
  const user = await scratchUser(t);
  await mkdir(dirname(user.cachePath), { recursive: true });
  new DatabaseSync(user.cachePath).exec('CREATE TABLE of_the_future (number INTEGER); PRAGMA user_version = 2');
  const before = await readFile(user.cachePath);
  const { cache, warnings } = await openUnusable(user);
  cache[Symbol.dispose]();
  assert.deepEqual(warnings, [
    `blob info cache ${user.cachePath} is not used: opening ${user.cachePath}: expected version 1 at most, found 2`,
  ]);
  assert.deepEqual(await readFile(user.cachePath), before);
});

test('where nothing can be written the cache lives in memory (behaviour 72)', async (t) => {
  const user = await scratchUser(t);
  const file = join(user.homeDir, 'file');
  await writeFile(file, '');
  // A file in the place of a directory stops root as well, which permissions do not.
  const { cache, warnings } = await openUnusable({ ...user, env: { XDG_CACHE_HOME: file } });
  cache[Symbol.dispose]();
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]!, /ENOTDIR|EEXIST/);
});

test('where Node.js has no SQLite nothing is kept', async (t) => {
  t.mock.method(process, 'getBuiltinModule', () => undefined);
  const user = await scratchUser(t);
  const warnings: string[] = [];
  using cache = await openBlobInfoCache({ ...user, onWarning: (message) => warnings.push(message) });
  cache.recordKnownLocation(layer, app);
  assert.deepEqual(repositoriesOf(cache), []);
  assert.equal(warnings.length, 1);
  assert.equal(existsSync(user.cachePath), false);
});
