import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { inTransaction, loadSqlite, SQLITE_ERROR, sqliteResultCode } from '../../src/io/sqlite.ts';

const source = new URL('../../src/io/sqlite.ts', import.meta.url).href;

test('loads node:sqlite without its warning on stderr', () => {
  const script = `
    const { loadSqlite } = await import(${JSON.stringify(source)});
    const { DatabaseSync } = await loadSqlite();
    console.log(new DatabaseSync(':memory:').prepare('SELECT 42 AS answer').get().answer);
    process.emitWarning('another one', 'ExperimentalWarning');`;
  const child = spawnSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
  assert.equal(child.status, 0, child.stderr);
  assert.equal(child.stdout, '42\n');
  assert.doesNotMatch(child.stderr, /SQLite/);
  assert.match(child.stderr, /another one/);
});

test('lets every warning pass but that one, and puts the function back', async (t) => {
  const sqlite = await loadSqlite();
  const emitWarning: unknown = Reflect.get(process, 'emitWarning');
  // What Node.js 22 does while it loads the module.
  t.mock.method(process, 'getBuiltinModule', (): unknown => {
    process.emitWarning('SQLite is an experimental feature and might change at any time', 'ExperimentalWarning');
    process.emitWarning('something else', 'ExperimentalWarning');
    return sqlite;
  });
  const warned = once(process, 'warning');
  await loadSqlite();
  const [warning] = (await warned) as [Error];
  assert.equal(warning.message, 'something else');
  assert.equal(Reflect.get(process, 'emitWarning'), emitWarning);
});

test('says so where Node.js has no SQLite', async (t) => {
  t.mock.method(process, 'getBuiltinModule', () => undefined);
  await assert.rejects(loadSqlite(), { code: 'ERR_SQLITE_MISSING' });
});

test('tells SQLite errors from others', async () => {
  const { DatabaseSync } = await loadSqlite();
  using database = new DatabaseSync(':memory:');
  assert.throws(
    () => database.exec('SELECT * FROM missing'),
    (error) => sqliteResultCode(error) === SQLITE_ERROR,
  );
  assert.equal(sqliteResultCode(new Error('not of SQLite')), undefined);
});

test('a transaction that fails leaves nothing behind and can be followed by another', async () => {
  const { DatabaseSync } = await loadSqlite();
  using database = new DatabaseSync(':memory:');
  database.exec('CREATE TABLE numbers (number INTEGER UNIQUE)');
  const insert = database.prepare('INSERT INTO numbers VALUES (?)');
  assert.throws(() =>
    inTransaction(database, () => {
      insert.run(1);
      insert.run(1);
    }),
  );
  inTransaction(database, () => insert.run(2));
  assert.deepEqual(
    database
      .prepare('SELECT number FROM numbers')
      .all()
      .map((row) => row['number']),
    [2],
  );
});
