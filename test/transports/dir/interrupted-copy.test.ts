import assert from 'node:assert/strict';
import { currentDigest } from '../../support/current-digest.ts';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { beginDirDestination, isWhole, namesOf, putImage, temporaryDirectory, writeImage } from './image-directory.ts';
import { newer, older, signature } from './interrupted-images.ts';

const WRITER = fileURLToPath(new URL('interrupted-writer.ts', import.meta.url));

async function directoryWithOlder(t: TestContext): Promise<string> {
  const directory = await realpath(await temporaryDirectory(t));
  await writeImage(directory, older);
  for (const name of ['signature-1', 'signature-2'])
    await writeFile(join(directory, name), `${name} of the older image`);
  return directory;
}

/** @returns exit status and signal. */
async function runWriter(...parameters: readonly string[]): Promise<readonly [number | null, string | null]> {
  const child = spawn(process.execPath, [WRITER, 'dir', ...parameters], { stdio: ['ignore', 'ignore', 'inherit'] });
  return (await once(child, 'exit')) as [number | null, string | null];
}

async function assertRecovers(directory: string, when: string): Promise<void> {
  const holdsNew = await isWhole(directory, newer);
  assert.ok(holdsNew || (await isWhole(directory, older)), `${when}: the old image or the new one is whole`);
  if (holdsNew) await assertSigned(directory, when);
  {
    await using destination = await beginDirDestination(directory);
    assert.equal(await currentDigest(destination), (holdsNew ? newer : older).manifest.digest, when);
    await putImage(destination, newer, [signature]);
  }
  assert.deepEqual((await readdir(directory)).toSorted(), [...namesOf(newer), 'signature-1'].toSorted(), when);
  assert.equal(await isWhole(directory, newer), true, `${when}: run again, it ends right`);
  await assertSigned(directory, when);
}

async function assertSigned(directory: string, when: string): Promise<void> {
  const names = (await readdir(directory)).filter((name) => name.startsWith('signature'));
  assert.deepEqual(names, ['signature-1'], `${when}: the new image has its own signature alone`);
  assert.deepEqual(await readFile(join(directory, 'signature-1')), signature, when);
}

test('a copy that ends at any step leaves the old image or the new one, and can be run again (behaviours 75, 76)', async (t) => {
  const directory = await directoryWithOlder(t);
  const snapshots = join(await temporaryDirectory(t), 'snapshots');
  await mkdir(snapshots);
  assert.deepEqual(await runWriter(directory, 'snapshots', snapshots), [0, null]);
  const steps = await readdir(snapshots);
  assert.ok(steps.length > 40, `${steps.length} steps of blobs, manifests, signatures and cleaning`);
  for (const step of steps) await assertRecovers(join(snapshots, step), `before step ${step}`);
});

test('a copy that is killed between its blobs and its manifest keeps the blobs (behaviour 75)', async (t) => {
  const directory = await directoryWithOlder(t);
  assert.deepEqual(await runWriter(directory, 'kill'), [null, 'SIGKILL']);
  assert.equal(await isWhole(directory, older), true);
  await using destination = await beginDirDestination(directory);
  assert.deepEqual(await putImage(destination, newer, [signature]), [], 'no blob had to be written again');
  assert.equal(await isWhole(directory, newer), true);
});
