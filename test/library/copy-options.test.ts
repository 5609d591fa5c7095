import assert from 'node:assert/strict';
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { localPlatform } from '../../src/manifest/platform.ts';
import { parsePlatform, type CopyOptions } from '../../src/index.ts';
import { buildImage, buildIndex, randomBytes, type TestImage } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { writeImage } from '../transports/dir/image-directory.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const [amd64, arm64, local] = [parsePlatform('linux/amd64'), parsePlatform('linux/arm64'), localPlatform()];
const other = parsePlatform('plan9/mips');
const platforms = [other, amd64, arm64];
const images = platforms.map((platform) =>
  buildImage({ layers: [randomBytes(platform.architecture, 1000)], platform }),
);
const index = buildIndex({ images: images.map((image, position) => ({ image, platform: platforms[position] })) });
const [first, second] = images as [TestImage, TestImage, TestImage];

test('copies one platform as an image alone', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', index);
  const result = await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { platforms: [amd64] });
  assert.equal(result.digest, second.manifest.digest);
  assert.deepEqual(to.manifest('copy', 'v1'), second.manifest);
  assert.equal(to.blobs('copy').length, second.blobs.size);
  const again = await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { platforms: [amd64] });
  assert.equal(again.skipped, 'same');
});

test('copies what this machine runs', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  const mine = buildImage({ layers: [randomBytes('mine', 1000)], platform: local });
  from.seed(
    'app',
    'v1',
    buildIndex({
      images: [
        { image: first, platform: other },
        { image: mine, platform: local },
      ],
    }),
  );
  const result = await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { platforms: [local] });
  assert.equal(result.digest, mine.manifest.digest);
});

test('copies several platforms as a new index, and says so', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', index);
  const result = await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { platforms: [other, amd64] });
  assert.notEqual(result.digest, index.manifest.digest);
  assert.equal(to.manifest('copy', 'v1')?.digest, result.digest);
  assert.equal(result.manifests, 3);
  assert.equal(copier.reported.length, 1);
  assert.equal(to.blobs('copy').length, first.blobs.size + second.blobs.size);
});

test('keeps a sparse index where the registry takes it, and adds what another copy wants of it', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry({ sparseIndex: true });
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', index);
  const options: CopyOptions = { platforms: [other, amd64], sparse: true };
  assert.equal((await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), options)).digest, index.manifest.digest);
  assert.equal(to.manifest('copy', images[2]?.manifest.digest ?? ''), undefined);
  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { platforms: [amd64, arm64], sparse: true });
  assert.deepEqual(to.manifest('copy', images[2]?.manifest.digest ?? ''), images[2]?.manifest);
  to.settings.sparseIndex = false;
  await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'strict:v1'), options), { side: 'destination' });
  assert.deepEqual(to.tags('strict'), []);
});

test('says which platforms there are where the wanted one is missing (behaviour 28)', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', index);
  await assert.rejects(
    copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { platforms: [parsePlatform('linux/s390x')] }),
    {
      code: 'ERR_PLATFORM_NOT_FOUND',
      kind: 'not-found',
      message: `no image for linux/s390x in ${at(from, 'app:v1')}: found plan9/mips, linux/amd64, linux/arm64`,
    },
  );
  assert.deepEqual(
    to.requests.filter(({ method }) => method !== 'GET'),
    [],
  );
});

test('leaves a tag that exists alone with noClobber, and reads nothing of the source', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', first);
  to.seed('copy', 'v1', second);
  const result = await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { noClobber: true });
  assert.deepEqual([result.skipped, result.digest], ['exists', second.manifest.digest]);
  assert.equal(from.count(), 0);
  assert.equal((await copier.copy(at(from, 'app:v1'), at(to, 'copy:v2'), { noClobber: true })).skipped, null);
});

test('checks every blob with force, and sends what a registry has lost', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', first);
  to.seed('copy', 'v1', first);
  const [lost = ''] = [...first.blobs.keys()];
  to.remove('copy', lost);
  assert.equal((await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'))).skipped, 'same');
  const { blobs } = await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { force: true });
  assert.deepEqual([blobs.reused, blobs.copied], [1, 1]);
  assert.ok(to.blobs('copy').some((digest) => digest === lost));
});

test('tags an image with further tags, also one that is there already', async (t) => {
  const home = await openHome(t);
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(home);
  from.seed('app', 'v1', first);
  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { additionalTags: ['v1.2', 'latest'] });
  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { additionalTags: ['stable'] });
  assert.deepEqual(to.tags('copy').toSorted(), ['latest', 'stable', 'v1', 'v1.2']);
  for (const tag of to.tags('copy')) assert.deepEqual(to.manifest('copy', tag), first.manifest);
  await assert.rejects(copier.copy(at(from, 'app:v1'), `dir:${home.path}/image`, { additionalTags: ['latest'] }), {
    kind: 'usage',
    hint: 'leave out --additional-tag',
  });
});

test('takes the tag or digest of the source for a destination without one', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', first);
  from.seed('app', 'latest', second);
  await copier.copy(at(from, 'app:v1'), at(to, 'by-tag'));
  await copier.copy(at(from, 'app'), at(to, 'by-default'));
  const byDigest = await copier.copy(at(from, `app@${first.manifest.digest}`), at(to, 'by-digest'));
  assert.deepEqual([to.tags('by-tag'), to.tags('by-default'), to.tags('by-digest')], [['v1'], ['latest'], []]);
  assert.equal(byDigest.reference, at(to, `by-digest@${first.manifest.digest}`));
  assert.deepEqual(to.manifest('by-digest', first.manifest.digest), first.manifest);
});

test('stores by a digest what it is the digest of, and nothing else (behaviour 22)', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', index);
  const { digest } = index.manifest;
  await copier.copy(at(from, 'app:v1'), at(to, `copy:v1@${digest}`));
  assert.equal(to.manifest('copy', 'v1')?.digest, digest);
  to.reset();
  const refused = {
    code: 'ERR_DESTINATION_DIGEST',
    kind: 'usage',
    hint: 'give the destination a tag instead of a digest',
  };
  for (const [source, destination, options] of [
    ['app:v1', `copy@${first.manifest.digest}`, {}],
    ['app:v1', `copy@${digest}`, { platforms: [amd64] }],
    [`app@${digest}`, 'copy', { platforms: [amd64, arm64] }],
  ] as const)
    await assert.rejects(copier.copy(at(from, source), at(to, destination), options), refused);
  assert.ok(to.requests.every(({ method }) => method === 'GET'));
});

test('refuses a copy onto itself', async (t) => {
  const home = await openHome(t);
  const directory = join(home.path, 'image');
  await writeImage(directory, first);
  await symlink(directory, join(home.path, 'link'));
  await using registry = await startRegistry();
  await using copier = new TestCopier(home);
  const same = { code: 'ERR_SAME_PLACE', kind: 'usage' };
  await assert.rejects(copier.copy(`dir:${directory}`, `dir:${home.path}/link/.`), same);
  await assert.rejects(copier.copy(at(registry, 'app:v1'), at(registry, 'app:v1')), same);
  await assert.rejects(copier.copy(at(registry, 'app:v1'), at(registry, 'app')), same);
  await assert.rejects(copier.copy('alpine', 'docker://docker.io/library/alpine:latest'), same);
  assert.equal(registry.count(), 0);
});

test('refuses to lose the signatures of a directory, unless told to', async (t) => {
  const home = await openHome(t);
  const [signed, copy] = ['signed', 'copy'].map((name) => join(home.path, name)) as [string, string];
  await mkdir(signed);
  await writeImage(signed, first);
  await writeFile(join(signed, 'signature-1'), 'a signature');
  await using registry = await startRegistry();
  await using copier = new TestCopier(home);
  await assert.rejects(copier.copy(`dir:${signed}`, at(registry, 'app:v1')), { code: 'ERR_SIGNATURES_UNSUPPORTED' });
  assert.deepEqual(registry.blobs('app'), []);
  await copier.copy(`dir:${signed}`, at(registry, 'app:v1'), { removeSignatures: true });
  assert.deepEqual(registry.tags('app'), ['v1']);
  await copier.copy(`dir:${signed}`, `dir:${copy}`);
  assert.ok((await readdir(copy)).includes('signature-1'));
});
