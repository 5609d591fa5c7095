import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { lstat, mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { digestOf } from '../../../src/digest/digest.ts';
import { layoutBlobPath } from '../../../src/manifest/image-layout.ts';
import { formatPlatform, localPlatform } from '../../../src/manifest/platform.ts';
import { readSmall } from '../../../src/transports/archive/archive.ts';
import {
  openArchiveDestination,
  type ArchiveDestination,
} from '../../../src/transports/archive/archive-destination.ts';
import { openArchive } from '../../../src/transports/archive/open-archive.ts';
import { readMembers } from '../../../src/transports/archive/read-members.ts';
import { buildArtifact, buildImage, buildIndex, randomBytes, tarGzLayer } from '../../support/images.ts';
import { startRegistry } from '../../support/registry.ts';
import { at, openHome, TestCopier } from '../../library/test-copier.ts';
import { assertHoldsOnly } from '../dir/image-directory.ts';
import { dockerSave, dockerSave25, temporaryFolder, writeArchive } from './archives.ts';

const local = localPlatform();
const other = { os: 'linux', architecture: local.architecture === 's390x' ? 'amd64' : 's390x' };
const shared = tarGzLayer({ base: 'base' });
const image = buildImage({ layers: [shared, tarGzLayer({ big: randomBytes('big', 2_000_000) })], platform: local });
const foreign = buildImage({ layers: [shared, tarGzLayer({ foreign: 'foreign' })], platform: other });
const index = buildIndex({
  images: [
    { image, platform: local },
    { image: foreign, platform: other },
  ],
});

const imageBlobs = [...image.blobs].map(([digest, { length: size }]) => ({ digest, size }));

/** An archive in a file that waits for the blobs of the image. */
async function openForImage(path: string): Promise<ArchiveDestination> {
  const destination = await openArchiveDestination({
    form: 'oci',
    name: 'v1',
    path,
    reference: `oci-archive:${path}:v1`,
  });
  await destination.expectImage({ manifests: [image.manifest], blobs: imageBlobs });
  return destination;
}

test('what lists the image and its manifests come before the blobs, each once', async (t) => {
  const folder = await temporaryFolder(t);
  await using registry = await startRegistry();
  registry.seed('app', 'v1', index);
  await using copier = new TestCopier(await openHome(t));
  const path = join(folder, 'app.tar');
  const { reference, digest } = await copier.copy(at(registry, 'app:v1'), `oci-archive:${path}:v1`);
  assert.equal(digest, index.manifest.digest);
  assert.equal(reference, `oci-archive:${path}:v1@${digest}`);
  const names = await namesIn(path);
  const manifests = [index.manifest, ...index.instances].map((one) => layoutBlobPath(one.digest));
  assert.deepEqual(names.slice(0, 2), ['oci-layout', 'index.json']);
  assert.deepEqual(names.slice(2, 2 + manifests.length).toSorted(), manifests.toSorted());
  assert.equal(names[2], manifests[0], 'the index comes before its images');
  assert.deepEqual(
    names.slice(2 + manifests.length).toSorted(),
    [...index.blobs.keys()].map(layoutBlobPath).toSorted(),
  );
  await copier.copy(`oci-archive:${path}:v1`, `dir:${join(folder, 'out')}`);
  await assertHoldsOnly(join(folder, 'out'), index);
});

test('the same image makes the same bytes, and is not written a second time', async (t) => {
  const folder = await temporaryFolder(t);
  await using registry = await startRegistry();
  registry.seed('app', 'v1', index);
  await using copier = new TestCopier(await openHome(t));
  const [one, two] = [join(folder, 'one.tar'), join(folder, 'two.tar')];
  await copier.copy(at(registry, 'app:v1'), `oci-archive:${one}:v1`);
  await copier.copy(at(registry, 'app:v1'), `oci-archive:${two}:v1`);
  assert.ok((await readFile(one)).equals(await readFile(two)));
  const before = await stat(one);
  const again = await copier.copy(at(registry, 'app:v1'), `oci-archive:${one}:v1`);
  assert.equal(again.skipped, 'same');
  assert.equal((await stat(one)).ino, before.ino);
});

test('an archive that is there is replaced: another image, another name, or one that is damaged', async (t) => {
  const folder = await temporaryFolder(t);
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  registry.seed('app', 'v2', foreign);
  await using copier = new TestCopier(await openHome(t));
  const path = join(folder, 'app.tar');
  await copier.copy(at(registry, 'app:v1'), `oci-archive:${path}:v1`);
  const first = await readFile(path);
  await copier.copy(at(registry, 'app:v2'), `oci-archive:${path}:v2`);
  assert.ok(!(await namesIn(path)).includes(layoutBlobPath(image.manifest.digest)), 'nothing of the old one stays');
  const renamed = await copier.copy(at(registry, 'app:v2'), `oci-archive:${path}:v3`);
  assert.equal(renamed.skipped, null);
  await writeFile(path, first.subarray(0, first.length / 2));
  await copier.copy(at(registry, 'app:v1'), `oci-archive:${path}:v1`);
  assert.ok((await readFile(path)).equals(first));
  assert.deepEqual(await readdir(folder), ['app.tar']);
});

test('-n leaves an archive that is there', async (t) => {
  const folder = await temporaryFolder(t);
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  registry.seed('app', 'v2', foreign);
  await using copier = new TestCopier(await openHome(t));
  const path = join(folder, 'app.tar');
  await copier.copy(at(registry, 'app:v1'), `oci-archive:${path}:v1`);
  const before = await readFile(path);
  const kept = await copier.copy(at(registry, 'app:v2'), `oci-archive:${path}:v2`, { noClobber: true });
  assert.equal(kept.skipped, 'exists');
  assert.equal(kept.digest, image.manifest.digest);
  assert.ok((await readFile(path)).equals(before));
  await writeFile(path, 'no archive');
  const refusal = copier.copy(at(registry, 'app:v2'), `oci-archive:${path}:v2`, { noClobber: true });
  await assert.rejects(refusal, { message: /cannot tell whether .* exists, so nothing was written/ });
  assert.equal(await readFile(path, 'utf8'), 'no archive');
});

test('a copy that fails leaves the old archive, and nothing beside it', async (t) => {
  const folder = await temporaryFolder(t);
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  registry.seed('app', 'v2', foreign);
  await using copier = new TestCopier(await openHome(t), { retryTimes: 0 });
  const path = join(folder, 'app.tar');
  await copier.copy(at(registry, 'app:v1'), `oci-archive:${path}`);
  const before = await readFile(path);
  registry.behave({ match: { method: 'GET', path: /blobs/ }, status: 500 });
  await assert.rejects(copier.copy(at(registry, 'app:v2'), `oci-archive:${path}`), { code: 'ERR_REGISTRY_FAULT' });
  assert.ok((await readFile(path)).equals(before));
  await assert.rejects(copier.copy(at(registry, 'app:v3'), `oci-archive:${join(folder, 'new.tar')}`), {
    kind: 'not-found',
  });
  assert.deepEqual(await readdir(folder), ['app.tar']);
});

test('a blob with other bytes than its digest ends the copy, and no archive is there', async (t) => {
  const folder = await temporaryFolder(t);
  {
    await using destination = await openForImage(join(folder, 'app.tar'));
    const wrong = Readable.from([Buffer.alloc(shared.length)]);
    const put = destination.putBlobWithOptions(wrong, { digest: digestOf(shared), size: shared.length });
    await assert.rejects(put, { code: 'ERR_CONTENT_MISMATCH', kind: 'integrity' });
  }
  assert.deepEqual(await readdir(folder), []);
});

test('a blob that is longer than announced leaves the others in the archive as they are', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'app.tar');
  await using destination = await openForImage(path);
  const put = async (info: (typeof imageBlobs)[number], more: Buffer = Buffer.alloc(0)): Promise<void> => {
    const bytes = image.blobs.get(info.digest) ?? assert.fail();
    await destination.putBlobWithOptions(Readable.from([Buffer.concat([bytes, more])]), info);
  };
  for (const blob of imageBlobs) await put(blob);
  for (const blob of imageBlobs.slice(0, -1)) {
    await assert.rejects(put(blob, Buffer.alloc(4096)), { code: 'ERR_CONTENT_MISMATCH', message: /is longer than/ });
  }
  await destination.commit();
  const archive = await readFile(path);
  for (const [digest, bytes] of image.blobs) assert.ok(archive.includes(bytes), digest);
});

test('what a killed run left of the same archive a day ago or earlier is removed', async (t) => {
  const folder = await temporaryFolder(t);
  const now = Date.now() / 1000;
  const day = 24 * 60 * 60;
  const leave = async (name: string, age: number): Promise<void> => {
    await writeFile(join(folder, name), 'a part');
    await utimes(join(folder, name), now - age, now - age);
  };
  await leave('.imgcopy-app.tar-0123abcd.new', day);
  await leave('.imgcopy-app.tar-89ab4567.new', 30 * day);
  const others = [
    '.imgcopy-app.tar-gz-0123abcd.new',
    '.imgcopy-app.tar-mine.new',
    '.imgcopy-other.tar-0123abcd.new',
    'app.tar-0123abcd.new',
  ];
  for (const name of others) await leave(name, 30 * day);
  await leave('.imgcopy-app.tar-00000000.new', day - 3600);
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  await using copier = new TestCopier(await openHome(t));
  await copier.copy(at(registry, 'app:v1'), `oci-archive:${join(folder, 'app.tar')}:v1`);
  const left = ['.imgcopy-app.tar-00000000.new', ...others, 'app.tar'];
  assert.deepEqual((await readdir(folder)).toSorted(), left.toSorted());
});

test('a symbolic link stays, and what it leads to is replaced', async (t) => {
  const folder = await temporaryFolder(t);
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  await using copier = new TestCopier(await openHome(t));
  await writeFile(join(folder, 'real.tar'), 'old');
  await symlink('real.tar', join(folder, 'link.tar'));
  await copier.copy(at(registry, 'app:v1'), `oci-archive:${join(folder, 'link.tar')}`);
  assert.ok((await lstat(join(folder, 'link.tar'))).isSymbolicLink());
  assert.deepEqual((await namesIn(join(folder, 'real.tar'))).slice(0, 1), ['oci-layout']);
});

test('a named pipe is written as it is read, and stays one', async (t) => {
  const folder = await temporaryFolder(t);
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  await using copier = new TestCopier(await openHome(t));
  const [, bytes] = await Promise.all([
    copier.copy(at(registry, 'app:v1'), `oci-archive:${pipe}:v1`),
    buffer(createReadStream(pipe)),
  ]);
  assert.ok((await lstat(pipe)).isFIFO());
  await copier.copy(at(registry, 'app:v1'), `oci-archive:${join(folder, 'app.tar')}:v1`);
  assert.ok(bytes.equals(await readFile(join(folder, 'app.tar'))));
});

test('a copy that waits for the reader of a named pipe can be ended', async (t) => {
  const folder = await temporaryFolder(t);
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  await using copier = new TestCopier(await openHome(t));
  const stop = new AbortController();
  const onEvent = (event: { type: string }): void => {
    if (event.type === 'started') setImmediate(() => stop.abort());
  };
  const copying = copier.copy(at(registry, 'app:v1'), `oci-archive:${pipe}`, { signal: stop.signal, onEvent });
  await assert.rejects(copying, { name: 'AbortError' });
});

test('a reader that goes away ends the copy', async (t) => {
  const folder = await temporaryFolder(t);
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  await using copier = new TestCopier(await openHome(t));
  const reader = createReadStream(pipe);
  reader.once('data', () => reader.destroy());
  await assert.rejects(copier.copy(at(registry, 'app:v1'), `oci-archive:${pipe}`), (error) =>
    String(causeOf(error)).includes('EPIPE'),
  );
});

test('what is not a file is written directly', async (t) => {
  await using registry = await startRegistry();
  registry.seed('app', 'v1', index);
  await using copier = new TestCopier(await openHome(t));
  const { digest, blobs } = await copier.copy(at(registry, 'app:v1'), 'oci-archive:/dev/null');
  assert.equal(digest, index.manifest.digest);
  assert.equal(blobs.copied, index.blobs.size);
  assert.ok((await stat('/dev/null')).isCharacterDevice());
});

test('a directory is refused as an archive, and so is a file in a directory that is not there', async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'directory'));
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  await using copier = new TestCopier(await openHome(t));
  const into = (path: string): Promise<unknown> =>
    copier.copy(at(registry, 'app:v1'), `oci-archive:${join(folder, path)}`);
  await assert.rejects(into('directory'), { code: 'ERR_NOT_A_FILE', kind: 'usage' });
  await assert.rejects(into('none/app.tar'), { code: 'ERR_NO_DIRECTORY', kind: 'usage', hint: /mkdir -p/ });
  assert.deepEqual(await readdir(folder), ['directory']);
});

test("docker's archive has one platform: this machine's, or the one that is asked for", async (t) => {
  const folder = await temporaryFolder(t);
  await using registry = await startRegistry();
  registry.seed('app', 'v1', index);
  await using copier = new TestCopier(await openHome(t));
  const path = join(folder, 'app.tar');
  const first = await copier.copy(at(registry, 'app:v1'), `docker-archive:${path}`);
  assert.equal(first.digest, image.manifest.digest);
  assert.match(String(copier.reported), new RegExp(`has one platform: ${formatPlatform(local)} is copied`));
  assert.deepEqual(await listOf(path), [
    {
      Config: layoutBlobPath([...image.blobs.keys()][0]!),
      RepoTags: [`${registry.host}/app:v1`],
      Layers: [...image.blobs.keys()].slice(1).map(layoutBlobPath),
    },
  ]);
  assert.deepEqual((await namesIn(path)).slice(0, 3), ['oci-layout', 'index.json', 'manifest.json']);
  const second = await copier.copy(at(registry, 'app:v1'), `docker-archive:${path}:other:1`, { platforms: [other] });
  assert.equal(second.digest, foreign.manifest.digest);
  const both = copier.copy(at(registry, 'app:v1'), `docker-archive:${path}`, { platforms: [local, other] });
  await assert.rejects(both, { code: 'ERR_USAGE', hint: /oci-archive:/ });
});

for (const [what, members] of Object.entries({
  'docker save from Docker 25 on': dockerSave25(image, 'app:v1').members,
  'docker save before Docker 25': dockerSave(image, ['app:v1']),
  'no valid name': dockerSave(image, ['No Name:v1']),
})) {
  test(`an archive that is made of an archive keeps the name of the image: ${what}`, async (t) => {
    const path = await writeArchive(t, members);
    const folder = await temporaryFolder(t);
    await using copier = new TestCopier(await openHome(t));
    const names = async (source: string): Promise<unknown> => {
      await copier.copy(source, `docker-archive:${folder}/copy.tar`, { force: true });
      await using archive = await openArchive(`${folder}/copy.tar`, 'copy.tar');
      const list = await readSmall(archive, 'manifest.json', { tooLarge: () => new Error('too large') });
      return (JSON.parse(String(list)) as [{ RepoTags: unknown }])[0].RepoTags;
    };
    const isValid = what !== 'no valid name';
    assert.deepEqual(await names(`docker-archive:${path}`), isValid ? ['docker.io/library/app:v1'] : []);
    if (isValid) assert.deepEqual(await names(`docker-archive:${path}:app:v1`), ['docker.io/library/app:v1']);
  });
}

test("docker's archive refuses what docker cannot store, and leaves nothing", async (t) => {
  const folder = await temporaryFolder(t);
  await using registry = await startRegistry();
  registry.seed('app', 'report', buildArtifact({ artifactType: 'application/vnd.example', files: { 'a.txt': 'a' } }));
  await using copier = new TestCopier(await openHome(t));
  const copying = copier.copy(at(registry, 'app:report'), `docker-archive:${join(folder, 'a.tar')}`);
  await assert.rejects(copying, { code: 'ERR_NOT_STORABLE', kind: 'usage', hint: /oci-archive:/ });
  assert.deepEqual(await readdir(folder), []);
});

async function namesIn(path: string): Promise<readonly string[]> {
  const names = [];
  for await (const { name } of readMembers(createReadStream(path), path)) names.push(name);
  return names;
}

async function listOf(path: string): Promise<unknown> {
  for await (const { name, open } of readMembers(createReadStream(path), path)) {
    if (name === 'manifest.json') return JSON.parse((await buffer(open())).toString());
  }
  return undefined;
}

function causeOf(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? causeOf(error.cause) : error;
}
