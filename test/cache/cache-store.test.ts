import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { CACHE_SCHEMA, CACHE_VERSION } from '../../src/cache/cache-schema.ts';
import { CacheStore } from '../../src/cache/cache-store.ts';
import { CacheTables } from '../../src/cache/cache-tables.ts';
import { openDatabaseFile } from '../../src/cache/database-file.ts';
import { digestNamed, scratchUser } from './scratch.ts';

const app = { registry: 'registry.test', repository: 'app' };
const layer = digestNamed('layer');

interface Subject {
  readonly store: CacheStore;
  readonly path: string;
  readonly database: DatabaseSync;
  readonly warnings: readonly string[];
}

async function openStore(t: TestContext, path?: string): Promise<Subject> {
  const file = path ?? (await scratchUser(t)).cachePath;
  let database: DatabaseSync | undefined;
  const tables = await openDatabaseFile({ path: file, version: CACHE_VERSION, schema: CACHE_SCHEMA }, (opened) => {
    database = opened;
    return new CacheTables(opened);
  });
  const warnings: string[] = [];
  const store = new CacheStore({ tables, path: file, inMemory, onWarning: (message) => warnings.push(message) });
  t.after(() => store.close(() => undefined));
  return { store, path: file, database: database!, warnings };
}

function inMemory(): CacheTables {
  const memory = new DatabaseSync(':memory:');
  memory.exec(CACHE_SCHEMA);
  return new CacheTables(memory);
}

function knowsLayer(store: CacheStore): boolean {
  return store.ask((tables) => tables.sightings('registry.test', layer, 0).length > 0, false);
}

test('a lock held by another is waited for at the next flush', async (t) => {
  const { store, path, warnings } = await openStore(t);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  using other = new DatabaseSync(path);
  other.exec('BEGIN IMMEDIATE');
  store.record((tables) => tables.putLocation(layer, app, 1));
  t.mock.timers.tick(200);
  other.exec('COMMIT');
  const count = other.prepare('SELECT count(*) AS count FROM known_locations');
  assert.equal(count.get()?.['count'], 0);
  t.mock.timers.tick(200);
  assert.equal(count.get()?.['count'], 1);
  assert.deepEqual(warnings, []);
});

test('a lock that is held on and on is waited for five times, then the run continues in memory', async (t) => {
  const { store, path, warnings } = await openStore(t);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  using other = new DatabaseSync(path);
  other.exec('BEGIN IMMEDIATE');
  store.record((tables) => tables.putLocation(layer, app, 1));
  for (let wait = 1; wait <= 4; wait++) t.mock.timers.tick(200);
  assert.deepEqual(warnings, []);
  assert.ok(knowsLayer(store));
  t.mock.timers.tick(200);
  assert.deepEqual(warnings, [`blob info cache ${path}: database is locked, no longer used in this run`]);
  assert.ok(knowsLayer(store), 'what was recorded is still known');
  t.mock.timers.tick(200);
  store.close(() => undefined);
  assert.equal(warnings.length, 1);
});

test('a run that ends while another holds the lock loses what it learned, and says so', async (t) => {
  const { store, path, warnings } = await openStore(t);
  using other = new DatabaseSync(path);
  other.exec('BEGIN IMMEDIATE');
  store.record((tables) => tables.putLocation(layer, app, 1));
  store.close(() => assert.fail('asked of a locked file'));
  assert.deepEqual(warnings, [`blob info cache ${path}: locked, what this run learned was not stored`]);
});

test('on a full disk the run continues in memory', async (t) => {
  const { store, path, database, warnings } = await openStore(t);
  const pages = Number(database.prepare('PRAGMA page_count').get()?.['page_count']);
  database.exec(`PRAGMA max_page_count = ${pages}`);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  store.record((tables) => {
    for (let index = 0; index < 200; index++) tables.putCompressor(digestNamed(`${index}`), 'gzip');
    tables.putLocation(layer, app, 1);
  });
  t.mock.timers.tick(200);
  assert.deepEqual(warnings, [`blob info cache ${path}: database or disk is full, no longer used in this run`]);
  assert.ok(knowsLayer(store));
  store.record((tables) => tables.putCompressor(layer, 'gzip'));
  assert.equal(
    store.ask((tables) => tables.compressor(layer), undefined),
    'gzip',
  );
  assert.equal(database.isOpen, false);
});

test('a file that proves to be damaged is set aside for the next run', async (t) => {
  const first = await openStore(t);
  first.store.record((tables) => {
    for (let index = 0; index < 200; index++) tables.putCompressor(digestNamed(`${index}`), 'gzip');
  });
  first.store.close(() => undefined);
  const file = await open(first.path, 'r+');
  const { size } = await file.stat();
  await file.write(Buffer.alloc(size - 4096, 0xff), 0, size - 4096, 4096);
  await file.close();

  const { store, path, warnings } = await openStore(t, first.path);
  store.record((tables) => tables.putLocation(layer, app, 1));
  assert.equal(
    store.ask((tables) => tables.compressor(digestNamed('1')), undefined),
    undefined,
  );
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]!, /malformed/);
  assert.ok(knowsLayer(store));
  assert.ok(existsSync(`${path}.corrupt`));
  assert.equal(existsSync(path), false);
});
