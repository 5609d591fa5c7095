import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { lockDirectory } from '../../../src/local/directory-lock.ts';
import { beginDirDestination, temporaryDirectory } from './image-directory.ts';

const LOCK_MODULE = new URL('../../../src/local/directory-lock.ts', import.meta.url).href;

/** A process that holds the lock of a directory until it is killed. */
async function lockElsewhere(
  t: TestContext,
  directory: string,
): Promise<{ readonly stderr: () => string; kill(): Promise<void> }> {
  const script = `
    const { lockDirectory } = await import(${JSON.stringify(LOCK_MODULE)});
    await lockDirectory(${JSON.stringify(directory)}, 'dir:out');
    process.stdout.write('locked');
    setInterval(() => {}, 1e6);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  await once(child.stdout, 'data');
  return {
    stderr: () => stderr,
    async kill() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

test('a second writer is refused, by another path too, until the first is done (behaviour 79)', async (t) => {
  const directory = await temporaryDirectory(t);
  const link = join(await temporaryDirectory(t), 'link');
  await symlink(directory, link);
  {
    await using first = await beginDirDestination(directory);
    assert.deepEqual(await first.currentManifest(), { state: 'absent' });
    for (const path of [directory, link]) {
      await assert.rejects(beginDirDestination(path), {
        code: 'ERR_DIR_LOCKED',
        side: 'destination',
        hint: /another directory/,
      });
    }
    await assert.rejects(
      beginDirDestination(directory),
      { code: 'ERR_DIR_LOCKED' },
      'a refusal does not break the lock',
    );
  }
  assert.deepEqual(await readdir(directory), [], 'nothing of the lock is left');
  await using second = await beginDirDestination(directory);
  assert.deepEqual(await second.currentManifest(), { state: 'absent' });
});

test('the lock of another process holds until that dies, and its end leaves nothing to clear (behaviour 79)', async (t) => {
  const directory = await temporaryDirectory(t);
  const holder = await lockElsewhere(t, directory);
  await assert.rejects(lockDirectory(directory, 'dir:out'), { code: 'ERR_DIR_LOCKED' });
  assert.equal(holder.stderr(), '', 'no warning of an experimental module');
  await holder.kill();
  {
    using lock = await lockDirectory(directory, 'dir:out');
    assert.ok(lock);
  }
  assert.deepEqual(await readdir(directory), []);
});

test('says which file is in the way of the lock', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeFile(join(directory, '.imgcopy.lock'), 'this is no database. '.repeat(100));
  await assert.rejects(lockDirectory(directory, 'dir:out'), {
    code: 'ERR_DIR_LOCK',
    message: /\.imgcopy\.lock/,
    hint: /remove/,
  });
});
