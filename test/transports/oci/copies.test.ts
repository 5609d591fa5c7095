import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { createCopier, ImgcopyError } from '../../../src/index.ts';
import { layoutBlobPath } from '../../../src/manifest/image-layout.ts';
import {
  buildArtifact,
  buildImage,
  buildIndex,
  buildSchema1,
  randomBytes,
  tarGzLayer,
  type TestImage,
} from '../../support/images.ts';
import { startRegistry } from '../../support/registry.ts';
import { at, openHome, TestCopier } from '../../library/test-copier.ts';
import { assertHolds, filesIn, holdsBlobsOf, listedIn, listing, writeLayout } from './layout-directory.ts';

const shared = tarGzLayer({ shared: randomBytes('shared', 3000) });
const v1 = buildImage({ layers: [shared, tarGzLayer({ app: randomBytes('v1', 3000) })] });
const v2 = buildImage({ layers: [shared, tarGzLayer({ app: randomBytes('v2', 3000) })] });
const docker = buildImage({ layers: [shared], format: 'docker' });
const arm = buildImage({ layers: [shared], platform: { os: 'linux', architecture: 'arm64' } });
const index = buildIndex({
  images: [
    { image: v1, platform: { os: 'linux', architecture: 'amd64' } },
    { image: arm, platform: { os: 'linux', architecture: 'arm64' } },
  ],
});
const artifact = buildArtifact({ artifactType: 'application/vnd.example', files: { 'a.txt': 'text' } });

const kinds: readonly (readonly [string, TestImage])[] = [
  ['an OCI image', v1],
  ['a Docker image', docker],
  ['an OCI index', index],
  ['a Docker manifest list', buildIndex({ format: 'docker', images: [{ image: docker }] })],
  ['an index in an index', buildIndex({ images: [{ image: index }] })],
  ['an artifact', artifact],
  ['a schema 1 image', buildSchema1({ layers: [shared, null] })],
  ['a signed schema 1 image', buildSchema1({ layers: [shared, null], signed: true })],
];

for (const [what, image] of kinds) {
  test(`${what} goes into a layout and out of it byte for byte`, async (t) => {
    const home = await openHome(t);
    const lay = join(home.path, 'lay');
    await using registry = await startRegistry();
    registry.seed('app', '1', image);
    await using copier = new TestCopier(home);
    const written = await copier.copy(at(registry, 'app:1'), `oci:${lay}`);
    assert.equal(written.digest, image.manifest.digest);
    assert.equal(written.reference, `oci:${lay}@${image.manifest.digest}`);
    assert.equal(await holdsBlobsOf(lay, image), true);
    await assertHolds(lay, ['1', image]);

    const read = await copier.copy(`oci:${lay}`, at(registry, 'copy:2'));
    assert.equal(read.digest, image.manifest.digest);
    assert.ok(registry.manifest('copy', '2')?.bytes.equals(image.manifest.bytes));

    const again = await copier.copy(at(registry, 'app:1'), `oci:${lay}`);
    assert.equal(again.skipped, 'same');
    assert.equal(again.bytes.fetched, 0);
  });
}

test('a layout holds several images, which share what they have in common', async (t) => {
  const home = await openHome(t);
  const lay = join(home.path, 'new/lay');
  await using registry = await startRegistry();
  for (const [tag, image] of [
    ['v1', v1],
    ['v2', v2],
    ['docker', docker],
  ] as const)
    registry.seed('app', tag, image);
  await using copier = new TestCopier(home);
  await copier.copy(at(registry, 'app:v1'), `oci:${lay}`);
  const second = await copier.copy(at(registry, 'app:v2'), `oci:${lay}:registry.test/app:v2`);
  assert.equal(second.blobs.reused, 1);
  await copier.copy(at(registry, `app@${docker.manifest.digest}`), `oci:${lay}`);
  await assertHolds(lay, ['v1', v1], ['registry.test/app:v2', v2], [undefined, docker]);

  await using plain = createCopier();
  const names: string[] = [];
  for await (const name of plain.tags(`oci:${lay}`)) names.push(name);
  assert.deepEqual(names, ['v1', 'registry.test/app:v2']);
  assert.equal(await plain.digest(`oci:${lay}:v1`), v1.manifest.digest);
  assert.equal(await plain.digest(`oci:${lay}@${docker.manifest.digest}`), docker.manifest.digest);
  assert.equal((await plain.inspect(`oci:${lay}:registry.test/app:v2`)).digest, v2.manifest.digest);
  assert.ok((await plain.manifest(`oci:${lay}:v1`)).bytes.equals(v1.manifest.bytes));
  const listed = `v1, registry.test/app:v2, ${docker.manifest.digest}`;
  const several = await rejection(plain.digest(`oci:${lay}`));
  assert.deepEqual([several.code, several.kind], ['ERR_SEVERAL_IMAGES', 'usage']);
  assert.equal((several.cause as Error).message, `oci:${lay} has several images: ${listed}`);
  assert.equal(several.hint, `name one of them: oci:${lay}:v1`);
  const unknown = await rejection(plain.digest(`oci:${lay}:v3`));
  assert.equal(unknown.kind, 'not-found');
  assert.equal((unknown.cause as Error).message, `oci:${lay} has no image named "v3"; it has ${listed}`);
  await assert.rejects(plain.digest(`oci:${lay}:v1@${docker.manifest.digest}`), { kind: 'integrity' });
});

test('a name goes to the new image, and the blobs of the old one stay', async (t) => {
  const home = await openHome(t);
  const lay = join(home.path, 'lay');
  await writeLayout(lay, ['latest', v1], ['other', docker]);
  await using registry = await startRegistry();
  registry.seed('app', 'latest', v2);
  await using copier = new TestCopier(home);
  await copier.copy(at(registry, 'app:latest'), `oci:${lay}`);
  assert.deepEqual(await listedIn(lay), listing(['latest', v2], ['other', docker]));
  assert.equal(await holdsBlobsOf(lay, v1), true);
  // The old image can still be read by its digest, and so can the instance of an index.
  const old = await copier.copy(`oci:${lay}@${v1.manifest.digest}`, at(registry, 'old:1'));
  assert.equal(old.digest, v1.manifest.digest);
});

test('an instance of an index is read by its digest', async (t) => {
  const home = await openHome(t);
  const lay = join(home.path, 'lay');
  await writeLayout(lay, ['v1', index]);
  await using copier = new TestCopier(home);
  const copied = await copier.copy(`oci:${lay}@${arm.manifest.digest}`, `oci:${join(home.path, 'arm')}`);
  assert.equal(copied.digest, arm.manifest.digest);
  await assertHolds(join(home.path, 'arm'), [undefined, arm]);
  const chosen = await copier.copy(`oci:${lay}`, `oci:${join(home.path, 'chosen')}`, {
    platforms: [{ os: 'linux', architecture: 'arm64' }],
  });
  assert.equal(chosen.digest, arm.manifest.digest);
});

describe('within one layout', () => {
  test('a copy to another name moves no blob', async (t) => {
    const home = await openHome(t);
    const lay = join(home.path, 'lay');
    await writeLayout(lay, ['v1', index]);
    await using copier = new TestCopier(home);
    const { blobs, bytes } = await copier.copy(`oci:${lay}:v1`, `oci:${home.path}/./lay:v2`);
    assert.equal(blobs.reused, blobs.total);
    assert.equal(bytes.fetched, 0);
    await assertHolds(lay, ['v1', index], ['v2', index]);
    await using plain = createCopier();
    assert.equal(await plain.digest(`oci:${lay}`), index.manifest.digest, 'two names of one image leave no question');
  });

  test('a copy onto itself is refused, by whatever path', async (t) => {
    const home = await openHome(t);
    await writeLayout(join(home.path, 'lay'), ['v1', v1]);
    await symlink('lay', join(home.path, 'link'));
    await using copier = new TestCopier(home);
    for (const to of ['lay', 'link', './link/../link']) {
      const destination = `oci:${home.path}/${to}`;
      await assert.rejects(copier.copy(`oci:${home.path}/lay:v1`, destination), { code: 'ERR_SAME_PLACE' });
      await assert.rejects(copier.copy(`oci:${home.path}/lay:v1`, `dir:${home.path}/${to}`), {
        code: 'ERR_SAME_PLACE',
      });
      await assert.rejects(copier.copy(`dir:${home.path}/${to}`, `oci:${home.path}/lay:v2`), {
        code: 'ERR_SAME_PLACE',
      });
    }
  });
});

test('further tags become names', async (t) => {
  const home = await openHome(t);
  const lay = join(home.path, 'lay');
  await writeLayout(lay, ['1', v2], ['kept', docker]);
  await using registry = await startRegistry();
  registry.seed('app', '1.2', v1);
  await using copier = new TestCopier(home);
  await copier.copy(at(registry, 'app:1.2'), `oci:${lay}`, { additionalTags: ['1', 'latest'] });
  assert.deepEqual(await listedIn(lay), listing(['1', v1], ['1.2', v1], ['kept', docker], ['latest', v1]));
  const again = await copier.copy(at(registry, 'app:1.2'), `oci:${lay}`, { additionalTags: ['1', 'latest'] });
  assert.equal(again.skipped, 'same');
  await assert.rejects(copier.copy(at(registry, 'app:1.2'), `oci:${lay}`, { additionalTags: ['a b'] }), {
    kind: 'usage',
    code: 'ERR_INVALID_REFERENCE',
  });
});

test('noClobber leaves names that exist, each on its own', async (t) => {
  const home = await openHome(t);
  const lay = join(home.path, 'lay');
  await writeLayout(lay, ['1', v2], ['odd', docker]);
  await using registry = await startRegistry();
  registry.seed('app', '1', v1);
  await using copier = new TestCopier(home);
  const noClobber = true;
  const left = await copier.copy(at(registry, 'app:1'), `oci:${lay}`, { noClobber });
  assert.equal(left.skipped, 'exists');
  assert.equal(left.digest, v2.manifest.digest);
  assert.equal(registry.count({ path: /blobs/ }), 0);
  await copier.copy(at(registry, 'app:1'), `oci:${lay}`, { noClobber, additionalTags: ['odd', 'latest'] });
  assert.deepEqual(await listedIn(lay), listing(['1', v2], ['latest', v1], ['odd', docker]));
});

test('an image of a layout that lacks a file is copied again', async (t) => {
  const home = await openHome(t);
  const lay = join(home.path, 'lay');
  await writeLayout(lay, ['1', index]);
  const [missing] = arm.blobs.keys();
  await rm(join(lay, layoutBlobPath(missing ?? arm.manifest.digest)));
  await using registry = await startRegistry();
  registry.seed('app', '1', index);
  await using copier = new TestCopier(home);
  const { skipped } = await copier.copy(at(registry, 'app:1'), `oci:${lay}`);
  assert.equal(skipped, null);
  await assertHolds(lay, ['1', index]);
});

test('force writes a blob again whose bytes are wrong', async (t) => {
  const home = await openHome(t);
  const lay = join(home.path, 'lay');
  await writeLayout(lay, ['1', v1]);
  const [[digest, bytes]] = [...v1.blobs].toReversed() as [[typeof v1.manifest.digest, Buffer]];
  await writeFile(join(lay, layoutBlobPath(digest)), Buffer.alloc(bytes.length));
  await using registry = await startRegistry();
  registry.seed('app', '1', v1);
  await using copier = new TestCopier(home);
  assert.equal((await copier.copy(at(registry, 'app:1'), `oci:${lay}`)).skipped, 'same');
  await copier.copy(at(registry, 'app:1'), `oci:${lay}`, { force: true });
  await assertHolds(lay, ['1', v1]);
});

test('what lies beside the image stays: files, annotations and fields of other tools', async (t) => {
  const home = await openHome(t);
  const lay = join(home.path, 'lay');
  await writeLayout(lay, ['1', v1]);
  await mkdir(join(lay, 'ingest'));
  for (const name of ['index.json.lock', 'manifest.json', 'ingest/x', 'blobs/README'])
    await writeFile(join(lay, name), name);
  const before = JSON.parse(await readFile(join(lay, 'index.json'), 'utf8')) as { manifests: object[] };
  await writeFile(
    join(lay, 'index.json'),
    JSON.stringify({ ...before, annotations: { a: 'b' }, 'x-odd': [1] }, null, 2),
  );
  await using registry = await startRegistry();
  registry.seed('app', '2', v2);
  await using copier = new TestCopier(home);
  await copier.copy(at(registry, 'app:2'), `oci:${lay}`);
  const text = await readFile(join(lay, 'index.json'), 'utf8');
  const { manifests, ...others } = JSON.parse(text) as { manifests: object[] };
  assert.deepEqual(others, { schemaVersion: 2, annotations: { a: 'b' }, 'x-odd': [1] });
  assert.deepEqual(manifests[0], before.manifests[0]);
  assert.equal(manifests.length, 2);
  assert.match(text, /^\{\n {2}"/);
  assert.equal(await readFile(join(lay, 'ingest/x'), 'utf8'), 'ingest/x');
});

test('a source that does not exist leaves nothing behind', async (t) => {
  const home = await openHome(t);
  await using registry = await startRegistry();
  await using copier = new TestCopier(home);
  await assert.rejects(copier.copy(at(registry, 'app:none'), `oci:${home.path}/a/lay:v1`), { kind: 'not-found' });
  await assert.rejects(stat(join(home.path, 'a')), { code: 'ENOENT' });
});

test('nothing is written to a source, which may be read-only', async (t) => {
  const home = await openHome(t);
  const lay = join(home.path, 'lay');
  await writeLayout(lay, ['1', v1]);
  const before = await filesIn(lay);
  for (const path of ['', 'blobs', 'blobs/sha256']) await chmod(join(lay, path), 0o555);
  await using registry = await startRegistry();
  await using copier = new TestCopier(home);
  await copier.copy(`oci:${lay}`, at(registry, 'app:1'));
  assert.deepEqual(await filesIn(lay), before);
  for (const path of ['', 'blobs', 'blobs/sha256']) await chmod(join(lay, path), 0o755);
});

async function rejection(promise: Promise<unknown>): Promise<ImgcopyError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ImgcopyError);
  return error;
}
