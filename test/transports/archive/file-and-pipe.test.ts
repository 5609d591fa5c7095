import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { digestOf } from '../../../src/digest/digest.ts';
import { localPlatform } from '../../../src/manifest/platform.ts';
import { openArchiveDestination } from '../../../src/transports/archive/archive-destination.ts';
import { at, openHome, TestCopier } from '../../library/test-copier.ts';
import { buildImage, buildIndex, buildSchema1, randomBytes, tarGzLayer, type TestImage } from '../../support/images.ts';
import { startRegistry, type TestRegistry } from '../../support/registry.ts';
import { inWaves } from '../../support/waves.ts';
import { assertHoldsOnly } from '../dir/image-directory.ts';
import { temporaryFolder } from './archives.ts';

const MiB = 1024 * 1024;
const timeout = 30_000;
const GET_BLOB = /^\/v2\/app\/blobs\//;

const small = buildImage({ layers: { count: 15, size: 1000 }, platform: localPlatform() });
const large = buildImage({ layers: [randomBytes('large', 20 * MiB)] });

for (const form of ['oci', 'oci-archive', 'docker-archive']) {
  test(`16 blobs of a registry take one wait on the way into ${form}:`, { timeout }, async (t) => {
    const { registry, copier, folder } = await prepare(t, small);
    const [, blobs] = inWaves([registry], [1, 16]);
    await copier.copy(at(registry, 'app:v1'), `${form}:${join(folder, 'app')}:v1`);
    assert.equal(new Set(blobs).size, 16);
    await copier.copy(`${form}:${join(folder, 'app')}:v1`, `dir:${join(folder, 'out')}`);
    await assertHoldsOnly(join(folder, 'out'), small);
  });
}

test('a large layer comes into the file by several ranges at a time', { timeout }, async (t) => {
  const { registry, copier, folder } = await prepare(t, large);
  registry.behave({ match: { path: /blobs|manifests/ }, latencyMs: 60 });
  const path = join(folder, 'app.tar');
  await copier.copy(at(registry, 'app:v1'), `oci-archive:${path}`);
  assert.ok(registry.peak({ path: GET_BLOB, when: ({ range }) => range !== undefined }) > 2);
  await copier.copy(`oci-archive:${path}`, `dir:${join(folder, 'out')}`);
  await assertHoldsOnly(join(folder, 'out'), large);
});

const shared = tarGzLayer({ base: 'base' });
const local = localPlatform();
const images = ['amd64', 'arm64', 's390x'].map((architecture) =>
  buildImage({
    layers: [
      shared,
      tarGzLayer({ [architecture]: architecture }),
      randomBytes(architecture, 17 * MiB),
      Buffer.alloc(0),
    ],
    platform: { os: 'linux', architecture },
  }),
);
/** Its first layer has the bytes of another manifest of the index. */
const odd = buildImage({ layers: [images[0]?.manifest.bytes ?? Buffer.alloc(0), shared], platform: local });

const examples: Readonly<Record<string, TestImage>> = {
  'an index whose images share layers': buildIndex({ images: images.map((image) => ({ image })) }),
  'an index of indexes': buildIndex({
    images: [
      { image: buildIndex({ images: images.slice(0, 2).map((image) => ({ image })) }) },
      { image: images[2] ?? odd },
    ],
  }),
  'a layer that is a manifest, too': buildIndex({ images: [...images.slice(0, 1), odd].map((image) => ({ image })) }),
  'schema 1': buildSchema1({ layers: [shared, null, tarGzLayer({ top: 'top' })], signed: true }),
};

for (const [what, image] of Object.entries(examples)) {
  test(`a file has the same bytes as what goes through a pipe: ${what}`, { timeout }, async (t) => {
    const { registry, copier, folder } = await prepare(t, image);
    const [file, pipe] = [join(folder, 'app.tar'), join(folder, 'pipe')];
    execFileSync('mkfifo', [pipe]);
    await copier.copy(at(registry, 'app:v1'), `oci-archive:${file}:v1`);
    const [, piped] = await Promise.all([
      copier.copy(at(registry, 'app:v1'), `oci-archive:${pipe}:v1`),
      buffer(createReadStream(pipe)),
    ]);
    const written = await readFile(file);
    assert.equal(digestOf(written), digestOf(piped));
    execFileSync('tar', ['-tf', file]);
    await copier.copy(`oci-archive:${file}:v1`, `dir:${join(folder, 'out')}`);
    await assertHoldsOnly(join(folder, 'out'), image);
  });
}

for (const form of ['oci-archive', 'docker-archive']) {
  test(`a layer of a petabyte is refused before room is made for it in ${form}:`, { timeout }, async (t) => {
    const petabyte = 2 ** 50;
    const text = small.manifest.bytes.toString().replace(/"size":1000\b/, `"size":${petabyte}`);
    assert.ok(text.includes(String(petabyte)));
    const bytes = Buffer.from(text);
    const { registry, copier, folder } = await prepare(t, {
      ...small,
      manifest: { ...small.manifest, bytes, digest: digestOf(bytes) },
    });
    await assert.rejects(copier.copy(at(registry, 'app:v1'), `${form}:${join(folder, 'app.tar')}`), {
      code: 'ERR_DISK_FULL',
      message: /app\.tar\S* is [0-9]+ bytes long by its manifest, and the file system of \S+ holds only [0-9]+ bytes$/,
    });
    assert.deepEqual(await readdir(folder), []);
    assert.equal(registry.count({ path: GET_BLOB }), 0);
  });
}

test('sha512 blobs, whose names are too long for a plain header, are in both', async (t) => {
  const folder = await temporaryFolder(t);
  const layer = randomBytes('sha512', 3000);
  const blob = { digest: digestOf(layer, 'sha512'), size: layer.length };
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const write = async (path: string): Promise<void> => {
    const options = { form: 'oci', name: 'v1', path, reference: `oci-archive:${path}` } as const;
    await using destination = await openArchiveDestination(options);
    await destination.expectImage({ manifests: [small.manifest], blobs: [blob] });
    await destination.putBlobWithOptions(Readable.from([layer]), blob);
    await destination.commit();
  };
  const [piped] = await Promise.all([buffer(createReadStream(pipe)), write(pipe)]);
  await write(join(folder, 'app.tar'));
  assert.equal(digestOf(await readFile(join(folder, 'app.tar'))), digestOf(piped));
  const name = `blobs/sha512/${blob.digest.slice('sha512:'.length)}`;
  const found = execFileSync('tar', ['-xOf', join(folder, 'app.tar'), name]);
  assert.ok(found.equals(layer));
});

for (const [how, image] of Object.entries({ 'as one stream': small, 'by ranges': large })) {
  test(`a blob that came wrong ${how} is written once more at its place`, { timeout }, async (t) => {
    const { registry, copier, folder } = await prepare(t, image);
    registry.behave({ match: { method: 'GET', path: GET_BLOB, times: 2 }, wrongBytes: true });
    const path = join(folder, 'app.tar');
    await copier.copy(at(registry, 'app:v1'), `oci-archive:${path}`);
    await copier.copy(`oci-archive:${path}`, `dir:${join(folder, 'out')}`);
    await assertHoldsOnly(join(folder, 'out'), image);
    assert.deepEqual((await readdir(folder)).toSorted(), ['app.tar', 'out']);
  });
}

test('an archive in which an announced blob was not written is not published', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'app.tar');
  {
    await using destination = await openArchiveDestination({
      form: 'oci',
      name: 'v1',
      path,
      reference: 'oci-archive:x',
    });
    const blobs = [{ digest: digestOf(shared), size: shared.length }];
    await destination.expectImage({ manifests: [small.manifest], blobs });
    await assert.rejects(destination.commit(), { code: 'ERR_BROKEN_CONTRACT' });
  }
  assert.deepEqual(await readdir(folder), []);
});

interface Prepared {
  readonly registry: TestRegistry;
  readonly copier: TestCopier;
  readonly folder: string;
}

/** A registry with an image as `app:v1`. */
async function prepare(t: TestContext, image: TestImage): Promise<Prepared> {
  const folder = await temporaryFolder(t);
  const registry = await startRegistry();
  const copier = new TestCopier(await openHome(t));
  t.after(async () => {
    await copier[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
  });
  registry.seed('app', 'v1', image);
  return { registry, copier, folder };
}
