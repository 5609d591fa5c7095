import assert from 'node:assert/strict';
import { mkdir, readdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chdir, cwd } from 'node:process';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { digestHex, digestOf } from '../../../src/digest/digest.ts';
import { MediaType } from '../../../src/manifest/media-types.ts';
import { openDirSource } from '../../../src/transports/dir/dir-source.ts';
import { buildImage, buildIndex, buildSchema1 } from '../../support/images.ts';
import { blobInfo, temporaryDirectory, writeImage } from './image-directory.ts';
import { image, layer } from './source-image.ts';

const index = buildIndex({ images: [{ image }, { image: buildImage({ layers: [], format: 'docker' }) }] });

test('reads the manifest with the type that its content shows', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, image);
  await using source = await openDirSource(directory);
  assert.deepEqual(await source.getManifest(), image.manifest);
  assert.equal(await source.getManifestDigest(), image.manifest.digest);
  assert.equal(source.reference, `dir:${directory}`);
  assert.equal(source.concurrency, 'parallel');
});

test('reads the instances of an index, each once', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, index);
  await using source = await openDirSource(directory);
  for (const instance of index.instances) {
    assert.deepEqual(await source.getManifest({ instanceDigest: instance.digest }), instance);
  }
  const [first] = index.instances;
  await rm(join(directory, `${digestHex(first!.digest)}.manifest.json`));
  assert.deepEqual(await source.getManifest({ instanceDigest: first!.digest }), first, 'asked again, it is remembered');
});

test('says that a directory has no tags', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, image);
  await using source = await openDirSource(directory);
  const refusal = { code: 'ERR_USAGE', kind: 'usage', side: 'source', message: /^dir:.* has no tags/ };
  await assert.rejects(source.getManifest({ tag: 'v1' }), refusal);
});

test('gives the digest of a signed schema 1 manifest by its payload', async (t) => {
  const directory = await temporaryDirectory(t);
  const signed = buildSchema1({ layers: [layer, null], signed: true });
  await writeImage(directory, signed);
  await using source = await openDirSource(directory);
  assert.equal((await source.getManifest()).mediaType, MediaType.schema1SignedManifest);
  assert.equal(await source.getManifestDigest(), signed.manifest.digest);
  assert.equal(await source.getBlobSize(digestOf(layer)), layer.length);
});

test('refuses an instance that is not there, or not what its name says', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, index);
  const [{ digest }] = index.instances as [typeof image.manifest];
  const path = join(directory, `${digestHex(digest)}.manifest.json`);
  await writeFile(path, index.instances[1]!.bytes);
  await using source = await openDirSource(directory);
  await assert.rejects(source.getManifest({ instanceDigest: digest }), { kind: 'integrity', expected: digest });
  await rm(path);
  await using again = await openDirSource(directory);
  await assert.rejects(again.getManifest({ instanceDigest: digest }), {
    code: 'ERR_MANIFEST_NOT_FOUND',
    kind: 'not-found',
    hint: /--platform/,
  });
});

test('says that a path is not an image, and what it may be (behaviour 34)', async (t) => {
  const parent = await temporaryDirectory(t);
  await mkdir(join(parent, 'empty'));
  await mkdir(join(parent, 'layout'));
  await writeFile(join(parent, 'layout', 'oci-layout'), '{}');
  await writeFile(join(parent, 'file'), '');
  const cases: [string, RegExp, RegExp | string | undefined][] = [
    ['absent', /absent does not exist/, undefined],
    ['file', /file is not a directory/, undefined],
    ['empty', /empty is not an image directory: it has no manifest.json/, /imgcopy or skopeo/],
    ['layout', /is not an image directory/, `it is an OCI image layout: oci:${join(parent, 'layout')}`],
  ];
  for (const [name, message, hint] of cases) {
    const expected = { code: 'ERR_NOT_AN_IMAGE', kind: 'not-found', message };
    await assert.rejects(openDirSource(join(parent, name)), hint === undefined ? expected : { ...expected, hint });
  }
});

test('refuses a later version of the layout, and takes one without version for 1.1', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, image);
  await writeFile(join(directory, 'version'), 'Directory Transport Version: 1.9\n');
  await assert.rejects(openDirSource(directory), { code: 'ERR_DIR_VERSION', message: /1\.9.*at most 1\.2/ });
  await rm(join(directory, 'version'));
  await using source = await openDirSource(directory);
  assert.equal(await source.getManifestDigest(), image.manifest.digest);
});

test('refuses a manifest that is too large before it reads it (behaviour 49)', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, image);
  await truncate(join(directory, 'manifest.json'), 4 * 1024 * 1024 + 1);
  await assert.rejects(openDirSource(directory), { code: 'ERR_INVALID_MANIFEST' });
});

test('reads the signatures of the image and of its instances, up to the first gap', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, index);
  const [{ digest }] = index.instances as [typeof image.manifest];
  for (const name of ['signature-1', 'signature-2', 'signature-4', `${digestHex(digest)}.signature-1`]) {
    await writeFile(join(directory, name), name);
  }
  await using source = await openDirSource(directory);
  const texts = async (instanceDigest?: typeof digest): Promise<string[]> =>
    (await source.getSignaturesWithFormat({ instanceDigest })).map(String);
  assert.deepEqual(await texts(), ['signature-1', 'signature-2']);
  assert.deepEqual(await texts(digest), [`${digestHex(digest)}.signature-1`]);
  assert.deepEqual(await texts(index.instances[1]!.digest), []);
});

test('takes relative paths and symbolic links (behaviour 80)', async (t) => {
  const parent = await temporaryDirectory(t);
  await writeImage(join(parent, 'real'), image);
  await symlink('real', join(parent, 'link'));
  const blobName = digestHex(digestOf(layer));
  await mkdir(join(parent, 'store'));
  await rename(join(parent, 'real', blobName), join(parent, 'store', blobName));
  await symlink(join('..', 'store', blobName), join(parent, 'real', blobName));
  const before = cwd();
  t.after(() => chdir(before));
  chdir(parent);
  await using source = await openDirSource('link');
  chdir(before);
  assert.ok((await buffer((await source.getBlob(blobInfo(layer))).stream)).equals(layer));
  assert.deepEqual((await readdir(join(parent, 'real'))).length, 4);
});
