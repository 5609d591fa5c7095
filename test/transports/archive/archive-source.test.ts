import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { digestOf } from '../../../src/digest/digest.ts';
import type { ImageSource } from '../../../src/contract/image-source.ts';
import { localPlatform, formatPlatform } from '../../../src/manifest/platform.ts';
import { parseImageName } from '../../../src/transports/table.ts';
import { buildImage, buildIndex, randomBytes, tarGzLayer, type TestImage } from '../../support/images.ts';
import { runImgcopy } from '../../support/imgcopy-command.ts';
import { startRegistry } from '../../support/registry.ts';
import { at, openHome, TestCopier } from '../../library/test-copier.ts';
import { assertHoldsOnly } from '../dir/image-directory.ts';
import {
  craneArchive,
  dockerSave,
  dockerSave25,
  layoutBlobs,
  layoutFiles,
  ociArchive,
  tarOf,
  temporaryFolder,
  withPlainLayers,
  writeArchive,
  type RawMember,
} from './archives.ts';

const big = tarGzLayer({ big: randomBytes('big', 6_000_000) });
const image = buildImage({ layers: [tarGzLayer({ base: 'base' }), big] });
const local = localPlatform();
const other = { os: 'linux', architecture: local.architecture === 's390x' ? 'amd64' : 's390x' };
const foreign = buildImage({ layers: [tarGzLayer({ foreign: 'foreign' })], platform: other });
const index = buildIndex({
  images: [
    { image, platform: local },
    { image: foreign, platform: other },
  ],
});

test('a file of an OCI layout is read blob by blob from where it is, in parallel and by ranges', async (t) => {
  const path = await writeArchive(t, ociArchive(image, 'v1'));
  await using source = await openSource(`oci-archive:${path}:v1`);
  assert.equal(source.concurrency, 'parallel');
  assert.deepEqual(await source.getManifest(), image.manifest);
  for (const [digest, bytes] of image.blobs) {
    const { stream, size } = await source.getBlob({ digest, size: bytes.length });
    assert.equal(size, bytes.length);
    assert.deepEqual(await buffer(stream), bytes);
  }
  const chunks = [
    { offset: 5, length: 10 },
    { offset: 4_000_000, length: 100 },
  ];
  const answer = await source.getBlobAt?.({ digest: digestOf(big), size: big.length }, chunks);
  assert.equal(answer?.kind, 'ranges');
  const found: Buffer[] = [];
  for await (const reader of answer.readers) found.push(await buffer(reader));
  assert.deepEqual(
    found,
    chunks.map(({ offset, length }) => big.subarray(offset, offset + length)),
  );
});

test('of several images one is chosen by its name or its digest, and none is guessed', async (t) => {
  const members = [
    ...layoutFiles([
      ['v1', image],
      ['v2', foreign],
    ]),
    ...layoutBlobs(image),
    ...layoutBlobs(foreign),
  ];
  const path = await writeArchive(t, members);
  await using byName = await openSource(`oci-archive:${path}:v2`);
  assert.deepEqual(await byName.getManifest(), foreign.manifest);
  await using byDigest = await openSource(`oci-archive:${path}@${image.manifest.digest}`);
  assert.deepEqual(await byDigest.getManifest(), image.manifest);
  await assert.rejects(openSource(`oci-archive:${path}`), { code: 'ERR_SEVERAL_IMAGES', hint: /oci-archive:.*:v1$/ });
  await assert.rejects(openSource(`oci-archive:${path}:v3`), { code: 'ERR_IMAGE_NOT_FOUND', kind: 'not-found' });
});

const orders: Readonly<Record<string, (image: TestImage) => readonly RawMember[]>> = {
  'the index first': (one) => [...layoutFiles([['v1', one]]), ...layoutBlobs(one)],
  'the index last': (one) => ociArchive(one, 'v1'),
  'everything in reverse': (one) => [...layoutFiles([['v1', one]]), ...layoutBlobs(one)].toReversed(),
};

for (const [what, members] of Object.entries(orders)) {
  test(`a named pipe is read in one pass, ${what}`, async (t) => {
    const folder = await temporaryFolder(t);
    const pipe = makePipe(folder);
    const writing = feed(pipe, tarOf(members(index)));
    await using copier = new TestCopier(await openHome(t));
    const result = await copier.copy(`oci-archive:${pipe}:v1`, `dir:${join(folder, 'out')}`);
    await writing;
    assert.equal(result.digest, index.manifest.digest);
    await assertHoldsOnly(join(folder, 'out'), index);
  });
}

test('what of a named pipe has to wait leaves no file behind', async (t) => {
  const folder = await temporaryFolder(t);
  const waiting = join(folder, 'waiting');
  await mkdir(waiting);
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = waiting;
  t.after(() => (before === undefined ? delete process.env['TMPDIR'] : (process.env['TMPDIR'] = before)));
  const pipe = makePipe(folder);
  const writing = feed(pipe, tarOf(ociArchive(image)));
  {
    await using source = await openSource(`oci-archive:${pipe}`);
    assert.equal(source.concurrency, 'serial');
    const { stream } = await source.getBlob({ digest: digestOf(big), size: big.length });
    assert.deepEqual(await buffer(stream), big);
    assert.deepEqual(await readdir(waiting), []);
  }
  await writing;
  assert.deepEqual(await readdir(waiting), []);
});

test('a docker save of before Docker 25 becomes the image that Docker 25 makes of it', async (t) => {
  const shared = tarGzLayer({ twice: 'twice' });
  const saved = buildImage({ layers: [shared, big, shared] });
  const path = await writeArchive(t, dockerSave(saved, ['app:v1', 'registry.test/app:v1']));
  const folder = await temporaryFolder(t);
  await using copier = new TestCopier(await openHome(t));
  const plain = withPlainLayers(saved);
  for (const name of ['', ':app:v1', ':docker.io/library/app:v1', ':registry.test/app:v1']) {
    const out = join(folder, `out${name.length}`);
    const { digest } = await copier.copy(`docker-archive:${path}${name}`, `dir:${out}`);
    assert.equal(digest, plain.manifest.digest);
    await assertHoldsOnly(out, plain);
  }
  await assert.rejects(openSource(`docker-archive:${path}:app:v2`), {
    code: 'ERR_IMAGE_NOT_FOUND',
    message: /no image named "docker.io\/library\/app:v2"; it has docker.io\/library\/app:v1, registry.test\/app:v1/,
  });
});

test('a docker save of Docker 25 is read by its OCI layout', async (t) => {
  const saved = dockerSave25(image, 'app:v1');
  const path = await writeArchive(t, saved.members);
  const folder = await temporaryFolder(t);
  await using copier = new TestCopier(await openHome(t));
  const { digest } = await copier.copy(`docker-archive:${path}:app:v1`, `dir:${join(folder, 'out')}`);
  assert.equal(digest, saved.image.manifest.digest);
  await assertHoldsOnly(join(folder, 'out'), saved.image);
});

test("a docker save of containerd's image store names platforms that it does not hold: its only image is copied", async (t) => {
  const held = image;
  const saved = [...layoutFiles([['v1', index]]), ...layoutBlobs({ ...index, instances: [], blobs: new Map() })];
  const path = await writeArchive(t, [...saved, ...layoutBlobs(held)]);
  const folder = await temporaryFolder(t);
  await using copier = new TestCopier(await openHome(t));
  const { digest } = await copier.copy(`docker-archive:${path}`, `dir:${join(folder, 'out')}`);
  assert.equal(digest, held.manifest.digest);
  assert.ok(
    copier.warnings.some((line) => line.includes(`holds only ${formatPlatform(local)}`)),
    String(copier.warnings),
  );
});

test('of a docker save with several of its platforms, the one for this machine is copied, or the one that is asked for', async (t) => {
  const third = { os: 'linux', architecture: 'riscv64' };
  const whole = buildIndex({
    images: [
      { image, platform: local },
      { image: foreign, platform: other },
      { image: buildImage({ layers: [], platform: third }), platform: third },
    ],
  });
  const root = { ...whole, instances: [], blobs: new Map() };
  const members = [
    ...layoutFiles([['v1', whole]]),
    ...layoutBlobs(root),
    ...layoutBlobs(image),
    ...layoutBlobs(foreign),
  ];
  const path = await writeArchive(t, members);
  const folder = await temporaryFolder(t);
  await using copier = new TestCopier(await openHome(t));
  const first = await copier.copy(`docker-archive:${path}`, `dir:${join(folder, 'local')}`);
  assert.equal(first.digest, image.manifest.digest);
  assert.match(String(copier.reported), /has one platform: .* is copied; choose another with --platform/);
  const second = await copier.copy(`docker-archive:${path}`, `dir:${join(folder, 'other')}`, { platforms: [other] });
  assert.equal(second.digest, foreign.manifest.digest);
});

test('an archive of crane, whose layers are compressed, keeps them as they are', async (t) => {
  const path = await writeArchive(t, craneArchive(image, ['registry.test/app:v1']));
  await using registry = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  await copier.copy(`docker-archive:${path}`, at(registry, 'app:v1'));
  assert.deepEqual(
    registry.manifest('app', 'v1')?.digest,
    image.manifest.digest,
    'the manifest is the one that the layers came from',
  );
});

test('the names of the images in an archive are listed, as they may be written behind its file', async (t) => {
  const several = layoutFiles([
    ['v1', image],
    ['v2', foreign],
    [undefined, index],
    ['v1', image],
  ]);
  const full = ['docker.io/library/app:v1', 'registry.test/app:v2'];
  const archives = [
    { form: 'oci-archive', members: [...several, ...layoutBlobs(image)], names: ['v1', 'v2'] },
    { form: 'oci-archive', members: ociArchive(image), names: [] },
    { form: 'docker-archive', members: dockerSave(image, ['app:v1', 'registry.test/app:v2', 'app:v1']), names: full },
    { form: 'docker-archive', members: dockerSave25(image, 'app:v1').members, names: full.slice(0, 1) },
  ];
  const home = await openHome(t);
  await using copier = new TestCopier(home);
  for (const { form, members, names } of archives) {
    const file = `${form}:${await writeArchive(t, members)}`;
    assert.deepEqual(await copier.tags(file), names);
    for (const name of names.slice(0, 1)) {
      await using source = await openSource(`${file}:${name}`);
      assert.equal(source.tag, 'v1');
    }
    const { stdout } = await runImgcopy(['tags', file], { env: home.env });
    assert.equal(stdout, names.map((name) => `${name}\n`).join(''));
  }
  const folder = await temporaryFolder(t);
  const [oci] = archives;
  const writing = feed(makePipe(folder), tarOf(oci!.members));
  assert.deepEqual(await copier.tags(`oci-archive:${folder}/pipe`), ['v1', 'v2']);
  // Nothing is read behind the index.
  await writing.catch(() => undefined);
  await assert.rejects(copier.tags(`dir:${folder}`), { code: 'ERR_USAGE', message: /has no tags$/ });
  await assert.rejects(copier.tags(`docker-archive:${folder}/x.tar:app:v1`), {
    hint: 'leave out the name of the image',
  });
  await assert.rejects(copier.tags(`oci-archive:${folder}/none.tar`), /listing the tags of oci-archive/);
  await assert.rejects(copier.copy(`dir:${folder}`, `oci-archive:${folder}/x.tar`, { additionalTags: ['v2'] }), {
    code: 'ERR_USAGE',
    message: /cannot have further tags/,
  });
});

test('a docker save in a named pipe is read in one pass', async (t) => {
  const folder = await temporaryFolder(t);
  const pipe = makePipe(folder);
  const writing = feed(pipe, tarOf(dockerSave(image, ['app:v1'])));
  await using registry = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  const { digest } = await copier.copy(`docker-archive:${pipe}`, at(registry, 'app:v1'));
  await writing;
  assert.equal(digest, withPlainLayers(image).manifest.digest);
  assert.equal(registry.manifest('app', 'v1')?.digest, digest);
});

test('a source that is not there, a directory, and what is not an archive are told apart', async (t) => {
  const folder = await temporaryFolder(t);
  await assert.rejects(openSource(`oci-archive:${folder}/none.tar`), { code: 'ERR_NOT_AN_IMAGE', kind: 'not-found' });
  await assert.rejects(openSource(`oci-archive:${folder}`), { code: 'ERR_NOT_A_FILE', hint: /oci:/ });
  const saved = await writeArchive(t, dockerSave(image, ['app:v1']));
  await assert.rejects(openSource(`oci-archive:${saved}`), { code: 'ERR_NOT_AN_IMAGE', hint: /docker-archive:/ });
  const packed = await writeArchive(t, []);
  await assert.rejects(openSource(`docker-archive:${packed}`), { code: 'ERR_NOT_AN_IMAGE' });
});

test('the names of images are read back as they are written', async () => {
  for (const text of [
    'oci-archive:a.tar',
    'oci-archive:/x/a.tar:v1',
    'docker-archive:a.tar:app:v1',
    'oci-archive:a.tar:b:c',
  ]) {
    assert.equal(String(parseImageName(text)), text);
    const pinned = parseImageName(text).pinned(image.manifest.digest);
    assert.equal(pinned, `${text}@${image.manifest.digest}`);
    assert.equal(String(parseImageName(pinned)), pinned);
    assert.equal(parseImageName(pinned).digest, image.manifest.digest);
  }
  for (const text of ['oci-archive:', 'oci-archive::v1', 'oci-archive:a.tar:', 'docker-archive:a.tar:A B']) {
    assert.throws(() => parseImageName(text), { code: 'ERR_INVALID_REFERENCE' });
  }
  assert.equal(
    await parseImageName('oci-archive:x.tar').place(),
    await parseImageName('docker-archive:./x.tar:app').place(),
  );
});

async function openSource(text: string): Promise<ImageSource> {
  const name = parseImageName(text);
  const options = { signal: new AbortController().signal, onWarning: () => undefined };
  return await (name.openSource as (given: object) => Promise<ImageSource>).call(name, options);
}

function makePipe(folder: string): string {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  return pipe;
}

async function feed(pipe: string, bytes: Buffer): Promise<void> {
  const packets = Array.from({ length: Math.ceil(bytes.length / 50_000) }, (_, at_) =>
    bytes.subarray(at_ * 50_000, (at_ + 1) * 50_000),
  );
  await pipeline(Readable.from(packets), createWriteStream(pipe));
}
