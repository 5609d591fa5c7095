import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chdir, cwd } from 'node:process';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { digestHex, digestOf } from '../../../src/digest/digest.ts';
import { MediaType } from '../../../src/manifest/media-types.ts';
import { currentDigest } from '../../support/current-digest.ts';
import { randomBytes } from '../../support/images.ts';
import { indexOf, newer, older, shared } from './destination-images.ts';
import {
  assertHoldsOnly,
  beginDirDestination,
  isWhole,
  namesOf,
  putImage,
  temporaryDirectory,
  writeImage,
} from './image-directory.ts';

test('writes an image into a directory that is made with its parents (behaviour 73)', async (t) => {
  const directory = join(await temporaryDirectory(t), 'a', 'b');
  {
    await using destination = await beginDirDestination(directory);
    assert.equal(destination.reference, `dir:${directory}`);
    await putImage(destination, newer);
  }
  await assertHoldsOnly(directory, newer);
  for (const name of await readdir(directory)) {
    assert.equal((await stat(join(directory, name))).mode & 0o777, 0o644, `${name} is readable by all`);
  }
});

test('writes an index with its instances', async (t) => {
  const directory = await temporaryDirectory(t);
  const index = indexOf(older, newer);
  {
    await using destination = await beginDirDestination(directory);
    await putImage(destination, index);
  }
  await assertHoldsOnly(directory, index);
});

test('says that a directory has no tags, and keeps nothing that was put under one', async (t) => {
  const directory = join(await temporaryDirectory(t), 'image');
  {
    await using destination = await beginDirDestination(directory);
    const refusal = { code: 'ERR_USAGE', kind: 'usage', side: 'destination', message: /^dir:.* has no tags/ };
    await assert.rejects(destination.currentManifest({ tag: 'v1', digestOnly: true }), refusal);
    await assert.rejects(destination.putManifest(newer.manifest, { tag: 'v1' }), refusal);
    await destination.commit();
  }
  await assert.rejects(readdir(directory), { code: 'ENOENT' });
});

test('tells which image is there, if all of it is', async (t) => {
  const directory = await temporaryDirectory(t);
  const index = indexOf(older, newer);
  await writeImage(directory, index);
  {
    await using destination = await beginDirDestination(directory);
    assert.equal(index.manifest.mediaType, MediaType.ociIndex);
    assert.deepEqual(await destination.currentManifest(), { state: 'present', manifest: index.manifest });
  }
  await writeFile(join(directory, digestHex(digestOf(randomBytes('newer', 2000)))), 'cut');
  await using destination = await beginDirDestination(directory);
  assert.deepEqual(await destination.currentManifest(), { state: 'absent' }, 'a blob has another size');
  assert.equal(await currentDigest(destination, { digestOnly: true }), index.manifest.digest);
});

const damages: [string, (directory: string) => Promise<void>][] = [
  ['has no manifest', (directory) => rm(join(directory, 'manifest.json'))],
  ['has a manifest that cannot be read', (directory) => writeFile(join(directory, 'manifest.json'), '{"sch')],
  ['lacks an instance', (directory) => rm(join(directory, `${digestHex(older.manifest.digest)}.manifest.json`))],
  [
    'has an instance with wrong bytes',
    (directory) =>
      writeFile(join(directory, `${digestHex(older.manifest.digest)}.manifest.json`), newer.manifest.bytes),
  ],
  ['lacks a blob', (directory) => rm(join(directory, digestHex(digestOf(shared))))],
];
for (const [what, damage] of damages) {
  test(`mends an image that ${what}`, async (t) => {
    const directory = await temporaryDirectory(t);
    const index = indexOf(older, newer);
    await writeImage(directory, index);
    await damage(directory);
    {
      await using destination = await beginDirDestination(directory);
      assert.equal(await currentDigest(destination), undefined);
      await putImage(destination, index);
    }
    await assertHoldsOnly(directory, index);
  });
}

test('writes nothing before the first blob, and removes what it made for nothing', async (t) => {
  const parent = await temporaryDirectory(t);
  {
    await using destination = await beginDirDestination(join(parent, 'new', 'image'));
    assert.deepEqual(await destination.currentManifest(), { state: 'absent' });
  }
  assert.deepEqual(await readdir(parent), []);
});

test('refuses an instance whose bytes are not those of its digest', async (t) => {
  await using destination = await beginDirDestination(await temporaryDirectory(t));
  await assert.rejects(destination.putManifest(newer.manifest, { instanceDigest: older.manifest.digest }), {
    code: 'ERR_CONTENT_MISMATCH',
  });
});

test('names sha512 blobs as version 1.2 of the layout does, and goes back to 1.1 without them (behaviour 73)', async (t) => {
  const directory = await temporaryDirectory(t);
  const sha512 = digestOf(shared, 'sha512');
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MediaType.ociManifest,
      config: { mediaType: MediaType.ociConfig, digest: sha512, size: shared.length },
      layers: [],
    }),
  );
  const instance = { bytes, mediaType: MediaType.ociManifest, digest: digestOf(bytes, 'sha512') };
  const version = (): Promise<string> => readFile(join(directory, 'version'), 'utf8');
  {
    await using destination = await beginDirDestination(directory);
    await destination.putBlobWithOptions(Readable.from([shared]), { digest: sha512, size: shared.length }, {});
    assert.equal(await version(), 'Directory Transport Version: 1.2\n');
    await destination.putManifest(instance, { instanceDigest: instance.digest });
    await destination.putManifest({ ...instance, digest: digestOf(bytes) });
    await destination.commit();
  }
  const hex = digestHex(sha512);
  assert.deepEqual((await readdir(directory)).toSorted(), ['manifest.json', `sha512-${hex}`, 'version']);
  await using destination = await beginDirDestination(directory);
  assert.equal(await currentDigest(destination), digestOf(bytes));
  await putImage(destination, newer);
  assert.equal(await version(), 'Directory Transport Version: 1.1\n');
});

test('refuses a directory with files of others, and leaves it as it is (behaviour 74)', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, older);
  await writeFile(join(directory, 'thesis.tex'), 'precious');
  await mkdir(join(directory, 'photos'));
  await assert.rejects(beginDirDestination(directory), {
    code: 'ERR_DIR_NOT_EMPTY',
    kind: 'usage',
    message: /photos and 1 more/,
    hint: /new or empty directory/,
  });
  assert.deepEqual((await readdir(directory)).toSorted(), [...namesOf(older), 'photos', 'thesis.tex'].toSorted());
});

test('takes what an interrupted copy left, with and without version', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeFile(join(directory, digestHex(digestOf(shared))), shared);
  await writeFile(join(directory, '.imgcopy.lock'), '');
  await using destination = await beginDirDestination(directory);
  const written = await putImage(destination, newer);
  assert.equal(written.includes(digestOf(shared)), false);
  assert.equal(await isWhole(directory, newer), true);
});

for (const text of ['Directory Transport Version: 1.3\n', 'Directory Transport Version: 2.0\n', 'hello']) {
  test(`refuses a directory of version ${JSON.stringify(text)} (behaviour 74)`, async (t) => {
    const directory = await temporaryDirectory(t);
    await writeFile(join(directory, 'version'), text);
    await assert.rejects(beginDirDestination(directory), { code: 'ERR_DIR_VERSION' });
    assert.deepEqual(await readdir(directory), ['version']);
  });
}

test('refuses a file in the place of the directory', async (t) => {
  const parent = await temporaryDirectory(t);
  await writeFile(join(parent, 'file'), '');
  for (const path of [join(parent, 'file'), join(parent, 'file', 'below')]) {
    await assert.rejects(beginDirDestination(path), { code: 'ERR_NOT_A_DIRECTORY', kind: 'usage' });
  }
});

test('takes relative paths and symbolic links, and stays with what they meant at first (behaviour 80)', async (t) => {
  const parent = await temporaryDirectory(t);
  await mkdir(join(parent, 'real'));
  await symlink('real', join(parent, 'link'));
  const before = cwd();
  t.after(() => chdir(before));
  chdir(parent);
  await using destination = await beginDirDestination('./link');
  chdir(before);
  await rm(join(parent, 'link'));
  await putImage(destination, newer);
  assert.equal(destination.reference, 'dir:./link');
  assert.equal(await isWhole(join(parent, 'real'), newer), true);
});
