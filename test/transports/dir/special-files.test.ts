import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestHex } from '../../../src/digest/digest.ts';
import { openDirSource } from '../../../src/transports/dir/dir-source.ts';
import { newer, older } from './destination-images.ts';
import {
  assertHoldsOnly,
  beginDirDestination,
  filesOf,
  isWhole,
  putImage,
  temporaryDirectory,
  writeImage,
} from './image-directory.ts';

/** What waits for ever fails. In ms. */
const timeout = 20_000;

async function replaceByPipe(path: string): Promise<void> {
  await rm(path, { force: true });
  execFileSync('mkfifo', [path]);
}

for (const name of ['version', 'manifest.json']) {
  test(`a source whose ${name} is a named pipe is refused, not waited for`, { timeout }, async (t) => {
    const directory = await temporaryDirectory(t);
    await writeImage(directory, older);
    await replaceByPipe(join(directory, name));
    await assert.rejects(openDirSource(directory), { code: 'ERR_NOT_A_FILE', message: new RegExp(name) });
  });
}

test('a version or signature that is very long is not read', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, older);
  await writeFile(join(directory, 'signature-1'), '');
  await truncate(join(directory, 'signature-1'), 2 ** 33);
  await using source = await openDirSource(directory);
  await assert.rejects(source.getSignaturesWithFormat(), { code: 'ERR_SIGNATURE_TOO_LARGE' });
  await truncate(join(directory, 'version'), 2 ** 33);
  await assert.rejects(openDirSource(directory), { code: 'ERR_DIR_VERSION' });
});

test('signatures are read up to 1,000, and 16 MiB together', async (t) => {
  for (const [count, size] of [
    [1001, 1],
    [5, 2 ** 22],
  ] as const) {
    const directory = await temporaryDirectory(t);
    await writeImage(directory, older);
    await using source = await openDirSource(directory);
    const write = async (number: number): Promise<void> =>
      await writeFile(join(directory, `signature-${number}`), Buffer.alloc(size));
    for (let number = 1; number < count; number += 1) await write(number);
    assert.equal((await source.getSignaturesWithFormat()).length, count - 1);
    await write(count);
    await assert.rejects(source.getSignaturesWithFormat(), { code: 'ERR_SIGNATURE_TOO_LARGE' });
  }
});

test(
  'a tree of links is read, as Bazel and Nix make them; signatures that are links or pipes are not',
  { timeout },
  async (t) => {
    const [files, directory] = [await temporaryDirectory(t), await temporaryDirectory(t)];
    await writeImage(files, older);
    for (const name of filesOf(older).keys()) await symlink(join(files, name), join(directory, name));
    await using source = await openDirSource(directory);
    assert.deepEqual(await source.getManifest(), older.manifest);

    const secret = join(files, 'secret');
    await writeFile(secret, 'of nobody else');
    await symlink(secret, join(directory, 'signature-1'));
    await assert.rejects(source.getSignaturesWithFormat(), { code: 'ERR_NOT_A_FILE', message: /symbolic link/ });
    await replaceByPipe(join(directory, 'signature-1'));
    await assert.rejects(source.getSignaturesWithFormat(), { code: 'ERR_NOT_A_FILE' });
  },
);

test('pipes in the place of files of a destination are replaced or refused, not waited for', { timeout }, async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, older);
  await replaceByPipe(join(directory, 'signature-1'));
  {
    await using destination = await beginDirDestination(directory);
    await putImage(destination, newer, [Buffer.from('signed')]);
  }
  assert.equal(await readFile(join(directory, 'signature-1'), 'utf8'), 'signed');
  assert.equal(await isWhole(directory, newer), true);

  const [digest = older.manifest.digest] = older.blobs.keys();
  await replaceByPipe(join(directory, `.imgcopy-sha256-${digestHex(digest)}.state`));
  {
    await using destination = await beginDirDestination(directory);
    await assert.rejects(putImage(destination, older), { code: 'ERR_NOT_A_FILE' });
  }
  await replaceByPipe(join(directory, 'version'));
  await assert.rejects(beginDirDestination(directory), { code: 'ERR_NOT_A_FILE' });
});

test('a directory of blobs alone, as an OCI layout has it, is no destination, and stays as it is', async (t) => {
  const directory = await temporaryDirectory(t);
  for (const [digest, bytes] of older.blobs) await writeFile(join(directory, digestHex(digest)), bytes);
  const before = await readdir(directory);
  await assert.rejects(beginDirDestination(directory), {
    code: 'ERR_DIR_NOT_EMPTY',
    kind: 'usage',
    message: /names like those of blobs/,
    hint: /new or empty directory/,
  });
  assert.deepEqual(await readdir(directory), before);
});

for (const mark of ['version', 'manifest.json', `.imgcopy-sha256-${'a'.repeat(64)}.partial`]) {
  test(`a directory with ${mark} is one of images`, async (t) => {
    const directory = await temporaryDirectory(t);
    await writeFile(join(directory, 'b'.repeat(64)), 'of an image that is gone');
    await writeFile(join(directory, mark), mark === 'version' ? 'Directory Transport Version: 1.1\n' : '{}');
    {
      await using destination = await beginDirDestination(directory);
      await putImage(destination, newer);
    }
    await assertHoldsOnly(directory, newer);
  });
}
