import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { hasBytes, isStagedName, replaceFile, stageFile } from '../../src/local/durable-files.ts';

async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'imgcopy-durable-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

test('a staged file shows under its name only when it is published', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeFile(join(directory, 'name'), 'old');
  {
    await using staged = await stageFile(directory, 'name', Buffer.from('new'));
    const names = await readdir(directory);
    assert.equal(names.filter(isStagedName).length, 1);
    assert.equal(await readFile(join(directory, 'name'), 'utf8'), 'old');
    await staged.publish();
  }
  assert.deepEqual(await readdir(directory), ['name']);
  assert.equal(await readFile(join(directory, 'name'), 'utf8'), 'new');
});

test('a staged file that is not published leaves nothing', async (t) => {
  const directory = await temporaryDirectory(t);
  {
    await using staged = await stageFile(directory, 'name', Buffer.from('new'));
    assert.ok(staged);
  }
  assert.deepEqual(await readdir(directory), []);
});

test('replaces a file only where its bytes differ', async (t) => {
  const directory = await temporaryDirectory(t);
  const path = join(directory, 'name');
  await replaceFile(directory, 'name', Buffer.from('one'));
  const { ino } = await stat(path);
  await replaceFile(directory, 'name', Buffer.from('one'));
  assert.equal((await stat(path)).ino, ino);
  await replaceFile(directory, 'name', Buffer.from('two'));
  assert.equal(await hasBytes(path, Buffer.from('two')), true);
  assert.equal(await hasBytes(join(directory, 'absent'), Buffer.from('two')), false);
});

test('writers of the same file side by side do not disturb each other', async (t) => {
  const directory = await temporaryDirectory(t);
  await Promise.all(Array.from({ length: 8 }, () => replaceFile(directory, 'name', Buffer.from('same'))));
  assert.deepEqual(await readdir(directory), ['name']);
});
