import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as sqlite from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { tryLockFile } from '../../src/io/file-lock.ts';
import { SQLITE_NOTADB, sqliteResultCode } from '../../src/io/sqlite.ts';

async function lockPath(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'imgcopy-lock-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return join(directory, 'some.lock');
}

test('a lock is held by one, until that lets go of it', async (t) => {
  const path = await lockPath(t);
  const first = tryLockFile(sqlite, path);
  assert.ok(first !== undefined);
  assert.equal(tryLockFile(sqlite, path), undefined);
  assert.equal(tryLockFile(sqlite, path), undefined, 'asking does not break it');
  first[Symbol.dispose]();
  assert.equal(existsSync(path), false, 'nothing is left');
  using second = tryLockFile(sqlite, path);
  assert.ok(second !== undefined);
});

test('to let go twice does not take the lock from the next holder', async (t) => {
  const path = await lockPath(t);
  const first = tryLockFile(sqlite, path);
  first?.[Symbol.dispose]();
  using second = tryLockFile(sqlite, path);
  assert.ok(second !== undefined);
  first?.[Symbol.dispose]();
  assert.equal(tryLockFile(sqlite, path), undefined);
});

test('a file that a dead holder left is taken over', async (t) => {
  const path = await lockPath(t);
  await writeFile(path, '');
  using lock = tryLockFile(sqlite, path);
  assert.ok(lock !== undefined);
});

test('a file that is something else is an error', async (t) => {
  const path = await lockPath(t);
  await writeFile(path, 'somebody’s notes. '.repeat(200));
  assert.throws(
    () => tryLockFile(sqlite, path),
    (error) => sqliteResultCode(error) === SQLITE_NOTADB,
  );
});
