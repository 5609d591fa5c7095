import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { digestHex, digestOf } from '../../../src/digest/digest.ts';
import { indexOf, newer, older, shared } from './destination-images.ts';
import {
  assertHoldsOnly,
  beginDirDestination,
  blobInfo,
  isWhole,
  namesOf,
  putImage,
  temporaryDirectory,
  writeImage,
} from './image-directory.ts';

test('replaces an image, and writes only what that lacks', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, older);
  {
    await using destination = await beginDirDestination(directory);
    const written = await putImage(destination, newer);
    assert.equal(written.includes(digestOf(shared)), false);
    assert.equal(written.length, 2);
  }
  await assertHoldsOnly(directory, newer);
});

test('keeps the old image whole until the commit (behaviour 76)', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, older);
  await using destination = await beginDirDestination(directory);
  for (const blob of newer.blobs.values()) {
    await destination.putBlobWithOptions(Readable.from([blob]), blobInfo(blob), {});
  }
  await destination.putManifest(newer.manifest);
  assert.equal(await isWhole(directory, older), true);
  await destination.commit();
  assert.equal(await isWhole(directory, newer), true);
});

test('leaves what is not of an image alone', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, older);
  {
    await using destination = await beginDirDestination(directory);
    await writeFile(join(directory, 'notes.txt'), 'mine');
    await mkdir(join(directory, 'a'.repeat(64)));
    await writeFile(join(directory, 'b'.repeat(64)), 'of an image that is gone');
    await writeFile(join(directory, `.imgcopy-sha256-${'c'.repeat(64)}.partial`), 'of a run that died');
    await putImage(destination, newer);
  }
  const names = (await readdir(directory)).toSorted();
  assert.deepEqual(names, [...namesOf(newer), 'notes.txt', 'a'.repeat(64)].toSorted());
});

test('rewrites nothing when the same image is committed again', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, newer);
  const before = await Promise.all(namesOf(newer).map((name) => stat(join(directory, name), { bigint: true })));
  {
    await using destination = await beginDirDestination(directory);
    assert.deepEqual(await putImage(destination, newer), []);
  }
  const after = await Promise.all(namesOf(newer).map((name) => stat(join(directory, name), { bigint: true })));
  assert.deepEqual(
    after.map(({ ino, mtimeNs }) => [ino, mtimeNs]),
    before.map(({ ino, mtimeNs }) => [ino, mtimeNs]),
  );
});

test('replaces the signatures together with the manifest', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, older);
  for (const name of ['signature-1', 'signature-2', `${digestHex(older.manifest.digest)}.signature-1`]) {
    await writeFile(join(directory, name), 'old');
  }
  const index = indexOf(older, newer);
  {
    await using destination = await beginDirDestination(directory);
    await destination.putSignaturesWithFormat([Buffer.from('of the instance')], {
      instanceDigest: newer.manifest.digest,
    });
    await putImage(destination, index, [Buffer.from('new')]);
  }
  const signatures = (await readdir(directory)).filter((name) => name.includes('signature')).toSorted();
  assert.deepEqual(signatures, [`${digestHex(newer.manifest.digest)}.signature-1`, 'signature-1']);
  assert.equal(await readFile(join(directory, 'signature-1'), 'utf8'), 'new');
});

test('keeps the signatures of an image that stays, when none are said', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, older);
  await writeFile(join(directory, 'signature-1'), 'kept');
  await using destination = await beginDirDestination(directory);
  await destination.putManifest(older.manifest);
  await destination.commit();
  assert.equal(await readFile(join(directory, 'signature-1'), 'utf8'), 'kept');
});
