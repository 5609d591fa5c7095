import assert from 'node:assert/strict';
import { chdir, cwd } from 'node:process';
import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { digestHex, digestOf } from '../../../src/digest/digest.ts';
import { MediaType } from '../../../src/manifest/media-types.ts';
import { openDirDestination } from '../../../src/transports/dir/dir-destination.ts';
import { buildImage, buildIndex, randomBytes, type TestImage } from '../../support/images.ts';
import {
  assertHoldsOnly,
  blobInfo,
  isWhole,
  namesOf,
  putImage,
  temporaryDirectory,
  writeImage,
} from './image-directory.ts';

const MIB = 1024 * 1024;
const shared = randomBytes('shared', 5000);
const older = buildImage({ layers: [shared, randomBytes('older', 1000)] });
const newer = buildImage({ layers: [shared, randomBytes('newer', 2000)] });

function indexOf(...images: readonly TestImage[]): TestImage {
  return buildIndex({ images: images.map((image) => ({ image })) });
}

/** A stream that gives some bytes and then fails. */
function breakingStream(bytes: Buffer, failure: Error): Readable {
  return Readable.from(
    (async function* () {
      yield bytes;
      throw failure;
    })(),
    { objectMode: false },
  );
}

test('writes an image into a directory that is made with its parents (behaviour 73)', async (t) => {
  const directory = join(await temporaryDirectory(t), 'a', 'b');
  {
    await using destination = await openDirDestination(directory);
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
    await using destination = await openDirDestination(directory);
    await putImage(destination, index);
  }
  await assertHoldsOnly(directory, index);
});

test('replaces an image, and writes only what that lacks', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, older);
  {
    await using destination = await openDirDestination(directory);
    const written = await putImage(destination, newer);
    assert.equal(written.includes(digestOf(shared)), false);
    assert.equal(written.length, 2);
  }
  await assertHoldsOnly(directory, newer);
});

test('keeps the old image whole until the commit (behaviour 76)', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, older);
  await using destination = await openDirDestination(directory);
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
    await using destination = await openDirDestination(directory);
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
    await using destination = await openDirDestination(directory);
    assert.deepEqual(await putImage(destination, newer), []);
  }
  const after = await Promise.all(namesOf(newer).map((name) => stat(join(directory, name), { bigint: true })));
  assert.deepEqual(
    after.map(({ ino, mtimeNs }) => [ino, mtimeNs]),
    before.map(({ ino, mtimeNs }) => [ino, mtimeNs]),
  );
});

test('tells which image is there, if all of it is', async (t) => {
  const directory = await temporaryDirectory(t);
  const index = indexOf(older, newer);
  await writeImage(directory, index);
  {
    await using destination = await openDirDestination(directory);
    const current = await destination.currentManifest();
    assert.equal(current?.digest, index.manifest.digest);
    assert.equal(current?.mediaType, MediaType.ociIndex);
    assert.deepEqual(current?.bytes, index.manifest.bytes);
  }
  await writeFile(join(directory, digestHex(digestOf(randomBytes('newer', 2000)))), 'cut');
  await using destination = await openDirDestination(directory);
  assert.equal(await destination.currentManifest(), undefined, 'a blob has another size');
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
      await using destination = await openDirDestination(directory);
      assert.equal(await destination.currentManifest(), undefined);
      await putImage(destination, index);
    }
    await assertHoldsOnly(directory, index);
  });
}

test('reuses a blob by its size, and with force only by its content (behaviour 75)', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, newer);
  await writeFile(join(directory, digestHex(digestOf(shared))), Buffer.alloc(shared.length));
  {
    await using trusting = await openDirDestination(directory);
    assert.equal((await trusting.tryReusingBlobWithOptions(blobInfo(shared), {})).reused, true);
    const other = { ...blobInfo(shared), size: 17 };
    assert.deepEqual(await trusting.tryReusingBlobWithOptions(other, {}), { reused: false });
    assert.deepEqual(await trusting.tryReusingBlobWithOptions(blobInfo(randomBytes('absent', 9)), {}), {
      reused: false,
    });
  }
  {
    await using strict = await openDirDestination(directory, { force: true });
    assert.deepEqual(await putImage(strict, newer), [digestOf(shared)]);
  }
  await assertHoldsOnly(directory, newer);
});

test('writes nothing before the first blob, and removes what it made for nothing', async (t) => {
  const parent = await temporaryDirectory(t);
  {
    await using destination = await openDirDestination(join(parent, 'new', 'image'));
    assert.equal(await destination.currentManifest(), undefined);
  }
  assert.deepEqual(await readdir(parent), []);
});

test('leaves neither blob nor temporary file of a stream with wrong bytes (behaviour 14)', async (t) => {
  const directory = await temporaryDirectory(t);
  {
    await using destination = await openDirDestination(directory);
    const wrong = Buffer.alloc(3 * MIB);
    const info = { digest: digestOf(shared), size: wrong.length };
    await assert.rejects(destination.putBlobWithOptions(Readable.from([wrong]), info, {}), {
      code: 'ERR_CONTENT_MISMATCH',
      expected: digestOf(shared),
      found: digestOf(wrong),
    });
  }
  assert.deepEqual(await readdir(directory), ['version']);
});

test('keeps the beginning of a large blob whose stream breaks, and nothing of a small one', async (t) => {
  const directory = await temporaryDirectory(t);
  const large = randomBytes('large', 3 * MIB);
  const failure = new Error('the line broke');
  {
    await using destination = await openDirDestination(directory);
    const begun = breakingStream(large.subarray(0, 2 * MIB), failure);
    await assert.rejects(destination.putBlobWithOptions(begun, blobInfo(large), {}), failure);
    const small = breakingStream(large.subarray(0, 1000), failure);
    await assert.rejects(destination.putBlobWithOptions(small, blobInfo(randomBytes('small', 5000)), {}), failure);
  }
  const partial = `.imgcopy-sha256-${digestHex(digestOf(large))}.partial`;
  assert.deepEqual((await readdir(directory)).toSorted(), [partial, 'version']);
  assert.deepEqual(await readFile(join(directory, partial)), large.subarray(0, 2 * MIB));
  await using destination = await openDirDestination(directory);
  await putImage(destination, buildImage({ layers: [large] }));
  assert.equal(await isWhole(directory, buildImage({ layers: [large] })), true);
});

test('an abort ends a blob and destroys its stream', async (t) => {
  const directory = await temporaryDirectory(t);
  await using destination = await openDirDestination(directory);
  const controller = new AbortController();
  const endless = new Readable({ read() {} });
  endless.push(shared.subarray(0, 10));
  const putting = destination.putBlobWithOptions(endless, blobInfo(shared), { signal: controller.signal });
  controller.abort();
  await assert.rejects(putting, { name: 'AbortError' });
  assert.equal(endless.destroyed, true);
  assert.deepEqual(
    (await readdir(directory)).filter((name) => name.endsWith('.partial')),
    [],
  );
});

test('computes the digest of a blob that comes without one', async (t) => {
  const directory = await temporaryDirectory(t);
  await using destination = await openDirDestination(directory);
  assert.deepEqual(await destination.putBlobWithOptions(Readable.from([shared]), {}, {}), blobInfo(shared));
  assert.ok((await readdir(directory)).includes(digestHex(digestOf(shared))));
});

test('refuses an instance whose bytes are not those of its digest', async (t) => {
  await using destination = await openDirDestination(await temporaryDirectory(t));
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
    await using destination = await openDirDestination(directory);
    await destination.putBlobWithOptions(Readable.from([shared]), { digest: sha512, size: shared.length }, {});
    assert.equal(await version(), 'Directory Transport Version: 1.2\n');
    await destination.putManifest(instance, { instanceDigest: instance.digest });
    await destination.putManifest({ ...instance, digest: digestOf(bytes) });
    await destination.commit();
  }
  const hex = digestHex(sha512);
  assert.deepEqual((await readdir(directory)).toSorted(), ['manifest.json', `sha512-${hex}`, 'version']);
  await using destination = await openDirDestination(directory);
  assert.equal((await destination.currentManifest())?.digest, digestOf(bytes));
  await putImage(destination, newer);
  assert.equal(await version(), 'Directory Transport Version: 1.1\n');
});

test('replaces the signatures together with the manifest', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, older);
  for (const name of ['signature-1', 'signature-2', `${digestHex(older.manifest.digest)}.signature-1`]) {
    await writeFile(join(directory, name), 'old');
  }
  const index = indexOf(older, newer);
  {
    await using destination = await openDirDestination(directory);
    assert.equal(destination.supportsSignatures(), true);
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
  await using destination = await openDirDestination(directory);
  await destination.putManifest(older.manifest);
  await destination.commit();
  assert.equal(await readFile(join(directory, 'signature-1'), 'utf8'), 'kept');
});

test('refuses a directory with files of others, and leaves it as it is (behaviour 74)', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, older);
  await writeFile(join(directory, 'thesis.tex'), 'precious');
  await mkdir(join(directory, 'photos'));
  await assert.rejects(openDirDestination(directory), {
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
  await using destination = await openDirDestination(directory);
  const written = await putImage(destination, newer);
  assert.equal(written.includes(digestOf(shared)), false);
  assert.equal(await isWhole(directory, newer), true);
});

for (const text of ['Directory Transport Version: 1.3\n', 'Directory Transport Version: 2.0\n', 'hello']) {
  test(`refuses a directory of version ${JSON.stringify(text)} (behaviour 74)`, async (t) => {
    const directory = await temporaryDirectory(t);
    await writeFile(join(directory, 'version'), text);
    await assert.rejects(openDirDestination(directory), { code: 'ERR_DIR_VERSION' });
    assert.deepEqual(await readdir(directory), ['version']);
  });
}

test('refuses a file in the place of the directory', async (t) => {
  const parent = await temporaryDirectory(t);
  await writeFile(join(parent, 'file'), '');
  for (const path of [join(parent, 'file'), join(parent, 'file', 'below')]) {
    await assert.rejects(openDirDestination(path), { code: 'ERR_NOT_A_DIRECTORY', kind: 'usage' });
  }
});

test('takes relative paths and symbolic links, and stays with what they meant at first (behaviour 80)', async (t) => {
  const parent = await temporaryDirectory(t);
  await mkdir(join(parent, 'real'));
  await symlink('real', join(parent, 'link'));
  const before = cwd();
  t.after(() => chdir(before));
  chdir(parent);
  await using destination = await openDirDestination('./link');
  chdir(before);
  await rm(join(parent, 'link'));
  await putImage(destination, newer);
  assert.equal(destination.reference, 'dir:./link');
  assert.equal(await isWhole(join(parent, 'real'), newer), true);
});
