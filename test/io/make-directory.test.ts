import assert from 'node:assert/strict';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { makeDirectory } from '../../src/io/make-directory.ts';
import { mountFull, mountReadOnly } from '../support/small-file-system.ts';

async function scratch(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'imgcopy-make-'));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

test('makes a directory with its parents, and tells the topmost that is new', async (t) => {
  const path = await scratch(t);
  assert.equal(await makeDirectory(join(path, 'a/b/c'), 0o700), join(path, 'a'));
  assert.equal((await stat(join(path, 'a/b/c'))).mode & 0o777, 0o700);
  assert.equal(await makeDirectory(join(path, 'a/b/c')), undefined);
});

test('a file in the way is shown as such', async (t) => {
  const path = await scratch(t);
  await writeFile(join(path, 'file'), '');
  await assert.rejects(makeDirectory(join(path, 'file')), { code: 'EEXIST' });
  await assert.rejects(makeDirectory(join(path, 'file/below')), { code: 'ENOTDIR' });
});

test('a read-only file system is shown as such, however deep the directory', async (t) => {
  const path = await mountReadOnly(t);
  if (path === undefined) return;
  for (const name of ['new', 'new/and/deep']) await assert.rejects(makeDirectory(join(path, name)), { code: 'EROFS' });
});

test('a full file system is shown as such', async (t) => {
  const path = await mountFull(t);
  if (path === undefined) return;
  for (const name of ['new', 'new/and/deep']) await assert.rejects(makeDirectory(join(path, name)), { code: 'ENOSPC' });
});
