import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isLockName, waitForLock } from '../../../src/local/directory-lock.ts';
import { LAYOUT_FILE, LAYOUT_FILE_BYTES } from '../../../src/manifest/image-layout.ts';
import { noteNewLayout } from '../../../src/transports/oci/new-layout.ts';
import { putImage, temporaryDirectory } from '../dir/image-directory.ts';
import { newer, older } from '../dir/interrupted-images.ts';
import {
  assertHolds,
  beginOciDestination,
  filesIn,
  holdsBlobsOf,
  listedIn,
  listing,
  writeLayout,
} from './layout-directory.ts';

const WRITER = fileURLToPath(new URL('../dir/interrupted-writer.ts', import.meta.url));

async function runWriter(...parameters: readonly string[]): Promise<string | null> {
  const child = spawn(process.execPath, [WRITER, 'oci', ...parameters], { stdio: ['ignore', 'ignore', 'inherit'] });
  const [status, signal] = (await once(child, 'exit')) as [number | null, string | null];
  return signal ?? (status === 0 ? null : String(status));
}

async function layoutWithOlder(t: TestContext): Promise<string> {
  const directory = await realpath(await temporaryDirectory(t));
  await writeLayout(directory, ['latest', older], ['other', older]);
  return directory;
}

/** Checks that a layout is the old one or the new one, and that the copy can be run again. */
async function assertRecovers(directory: string, when: string): Promise<void> {
  const before = await listedIn(directory);
  const isNew = before.includes(listing(['latest', newer])[0] ?? '');
  assert.deepEqual(before, listing(['latest', isNew ? newer : older], ['other', older]), when);
  assert.equal(await holdsBlobsOf(directory, older), true, when);
  if (isNew) assert.equal(await holdsBlobsOf(directory, newer), true, when);
  {
    await using destination = await beginOciDestination(directory, 'latest');
    await putImage(destination, newer);
  }
  assert.deepEqual(await listedIn(directory), listing(['latest', newer], ['other', older]), when);
  assert.equal(await holdsBlobsOf(directory, newer), true, when);
  const left = (await filesIn(directory)).filter((name) => name.endsWith('.new'));
  assert.deepEqual(left, [], `${when}: what the ended run left of small files is removed`);
}

test('a copy that ends at any step leaves the old layout or the new one, and can be run again', async (t) => {
  const directory = await layoutWithOlder(t);
  const snapshots = join(await temporaryDirectory(t), 'snapshots');
  await mkdir(snapshots);
  assert.equal(await runWriter(directory, 'snapshots', snapshots), null);
  const steps = await readdir(snapshots);
  assert.ok(steps.length > 40, `${steps.length} steps of blobs, manifests and the index`);
  for (const step of steps) await assertRecovers(join(snapshots, step), `before step ${step}`);
});

test('a first copy that ends at any step leaves no layout that lies, and can be run again', async (t) => {
  const directory = join(await realpath(await temporaryDirectory(t)), 'lay');
  await mkdir(directory);
  const snapshots = join(await temporaryDirectory(t), 'snapshots');
  await mkdir(snapshots);
  assert.equal(await runWriter(directory, 'snapshots', snapshots), null);
  await assertHolds(directory, ['latest', newer]);
  for (const step of await readdir(snapshots)) {
    const snapshot = join(snapshots, step);
    const before = await listedIn(snapshot);
    if (before.length > 0) assert.equal(await holdsBlobsOf(snapshot, newer), true, step);
    {
      await using destination = await beginOciDestination(snapshot, 'latest');
      await putImage(destination, newer);
    }
    assert.deepEqual(await listedIn(snapshot), listing(['latest', newer]), step);
    assert.equal(await holdsBlobsOf(snapshot, newer), true, step);
  }
});

test('a copy that is killed between its blobs and the index keeps the blobs', async (t) => {
  const directory = await layoutWithOlder(t);
  assert.equal(await runWriter(directory, 'kill'), 'SIGKILL');
  assert.deepEqual(await listedIn(directory), listing(['latest', older], ['other', older]));
  await using destination = await beginOciDestination(directory, 'latest');
  assert.deepEqual(await putImage(destination, newer), [], 'no blob had to be written again');
  assert.deepEqual(await listedIn(directory), listing(['latest', newer], ['other', older]));
});

test('a new layout that cannot be locked when it is left keeps no sign that somebody writes', async (t) => {
  const directory = join(await temporaryDirectory(t), 'lay');
  const destination = await beginOciDestination(directory, 'latest');
  await mkdir(join(directory, '.imgcopy.lock'));
  await assert.rejects(destination[Symbol.asyncDispose](), { code: 'ERR_DIR_LOCK' });
  assert.deepEqual((await readdir(directory)).toSorted(), ['.imgcopy.lock', 'oci-layout']);
});

test('a new layout is left as it is where somebody else keeps its directory locked', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeFile(join(directory, LAYOUT_FILE), LAYOUT_FILE_BYTES);
  const layout = await noteNewLayout(directory, { isMade: true, patienceMs: 50 });
  const lock = await waitForLock(directory, undefined);
  await layout[Symbol.asyncDispose]();
  const left = (await readdir(directory)).filter((name) => !isLockName(name));
  assert.deepEqual(left, [LAYOUT_FILE], 'it stays, without a sign that somebody writes');
  lock[Symbol.dispose]();
  const next = await noteNewLayout(directory, { isMade: true });
  await next[Symbol.asyncDispose]();
  assert.deepEqual(await readdir(directory), [], 'the next run removes it');
});

test('a directory that a copy made is removed also where the layout in it cannot be left', async (t) => {
  const parent = await temporaryDirectory(t);
  const link = join(parent, 'link');
  await symlink('before', link);
  await mkdir(join(parent, 'before'));
  const destination = await beginOciDestination(join(link, 'lay'), 'latest');
  // Somebody removes the layout, and has an empty one where its name leads.
  await rm(join(parent, 'before'), { recursive: true });
  await rm(link);
  await mkdir(join(link, 'lay'), { recursive: true });
  await assert.rejects(destination[Symbol.asyncDispose](), { code: 'ENOENT' });
  assert.deepEqual(await readdir(link), []);
});
