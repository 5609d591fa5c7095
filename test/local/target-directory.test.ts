import assert from 'node:assert/strict';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openTargetDirectory, type TargetLayout } from '../../src/local/target-directory.ts';
import { temporaryDirectory } from '../transports/dir/image-directory.ts';

/** An OCI layout, which has its blobs in a folder. */
const layout: TargetLayout = {
  reference: 'oci:lay',
  isPart: (entry) =>
    entry.isDirectory() ? entry.name === 'blobs' : entry.name === 'index.json' || entry.name === 'oci-layout',
  marks: ['oci-layout', 'index.json'],
};

test('a new directory is made with its parents, and removed again if nothing was written to it', async (t) => {
  const parent = await temporaryDirectory(t);
  {
    await using target = await openTargetDirectory(join(parent, 'a/b'), layout);
    assert.deepEqual(await readdir(target.path), ['.imgcopy.lock']);
  }
  assert.deepEqual(await readdir(parent), []);
});

test('a directory with an image of the layout is taken, its folders too', async (t) => {
  const directory = await temporaryDirectory(t);
  await mkdir(join(directory, 'blobs'));
  await writeFile(join(directory, 'oci-layout'), '{}');
  {
    await using target = await openTargetDirectory(directory, layout);
    assert.equal(target.path, directory);
  }
  assert.deepEqual((await readdir(directory)).toSorted(), ['blobs', 'oci-layout']);
});

test("files that are no part of an image are refused, and so is a folder with the layout's names alone", async (t) => {
  const directory = await temporaryDirectory(t);
  await mkdir(join(directory, 'blobs'));
  await assert.rejects(openTargetDirectory(directory, layout), {
    code: 'ERR_DIR_NOT_EMPTY',
    message: 'oci:lay holds files with names like those of blobs, and neither oci-layout nor index.json',
  });
  await writeFile(join(directory, 'notes.txt'), '');
  await assert.rejects(openTargetDirectory(directory, layout), {
    code: 'ERR_DIR_NOT_EMPTY',
    message: 'oci:lay contains files that do not belong to an image: notes.txt',
  });
});

test('a second writer is told which image is being written', async (t) => {
  const directory = await temporaryDirectory(t);
  await using first = await openTargetDirectory(directory, layout);
  assert.equal(first.path, directory);
  await assert.rejects(openTargetDirectory(directory, layout), {
    code: 'ERR_DIR_LOCKED',
    message: 'oci:lay is in use by another imgcopy process',
  });
});
