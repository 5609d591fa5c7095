import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { CopyOptions } from '../../src/index.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { NOTATION, SBOM, seedSigned } from './signed-image.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const [kept, added] = [randomBytes('kept', 30_000), randomBytes('added', 20_000)];
const old = buildImage({ layers: [kept] });
const image = buildImage({ layers: [kept, added] });
const theirs = buildImage({ layers: [randomBytes('theirs', 1000)] });
const configBytes = [...image.blobs.values()].find((bytes) => bytes !== kept && bytes !== added)?.length ?? 0;
const needed = added.length + configBytes;
const WRITES: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

function writesTo(registry: TestRegistry): number {
  return registry.requests.filter(({ method }) => WRITES.has(method)).length;
}

test('--max-bytes stops before the first write what needs one byte more, and lets pass what needs just as many', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', image);
  to.seed('copy', 'v1', old);
  const copy = (maxBytes: number): ReturnType<TestCopier['copy']> =>
    copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { maxBytes });
  await assert.rejects(copy(needed - 1), { code: 'ERR_MAX_BYTES', kind: 'failed', side: 'destination' });
  assert.equal(writesTo(to), 0);
  await assert.rejects(copier.plan(at(from, 'app:v1'), at(to, 'copy:v1'), { maxBytes: 0 }), { code: 'ERR_MAX_BYTES' });
  assert.equal((await copy(needed)).bytes.uploaded, needed);
  assert.equal(to.manifest('copy', 'v1')?.digest, image.manifest.digest);
  assert.equal((await copy(0)).skipped, 'same', 'nothing has to be sent any more');
});

test('--max-bytes holds where a registry has layers under other tags, and declines mounts from the repository itself', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry({ mount: 'always-202' });
  await using copier = new TestCopier(await openHome(t));
  const layers = Array.from({ length: 14 }, (_, layer) => randomBytes(`small layer ${layer}`, 2000));
  const many = buildImage({ layers });
  from.seed('app', 'v1', many);
  to.seed('copy', 'other', buildImage({ layers: layers.slice(-5) }));
  const { bytes } = await copier.plan(at(from, 'app:v1'), at(to, 'copy:v1'));
  const maxBytes = bytes.uploaded;
  assert.equal((await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { maxBytes })).bytes.uploaded, maxBytes);
  assert.equal(to.manifest('copy', 'v1')?.digest, many.manifest.digest);
});

test('--max-bytes makes no directory', async (t) => {
  await using from = await startRegistry();
  const home = await openHome(t);
  await using copier = new TestCopier(home, { cache: false });
  from.seed('app', 'v1', image);
  for (const form of ['dir', 'oci', 'oci-archive']) {
    const copying = copier.copy(at(from, 'app:v1'), `${form}:${join(home.path, 'never')}`, { maxBytes: 1000 });
    await assert.rejects(copying, { code: 'ERR_MAX_BYTES' });
  }
  assert.deepEqual(await readdir(home.path), []);
});

for (const conditionalPuts of [true, false]) {
  const whose = conditionalPuts ? 'a registry with conditional requests' : 'a registry without conditional requests';

  test(`--if-digest replaces the tag at ${whose} only if it is at this digest`, async (t) => {
    await using from = await startRegistry();
    await using to = await startRegistry({ conditionalPuts });
    await using copier = new TestCopier(await openHome(t));
    from.seed('app', 'v1', image);
    to.seed('copy', 'v1', old);
    const copy = (ifDigest: CopyOptions['ifDigest'], tag = 'v1'): ReturnType<TestCopier['copy']> =>
      copier.copy(at(from, 'app:v1'), at(to, `copy:${tag}`), { ifDigest });
    for (const wrong of [image.manifest.digest, 'none'] as const) {
      await assert.rejects(copy(wrong), { code: 'ERR_IF_DIGEST', kind: 'failed', side: 'destination' });
    }
    await assert.rejects(copy(old.manifest.digest, 'absent'), { code: 'ERR_IF_DIGEST' });
    assert.equal(writesTo(to), 0);
    await copy(old.manifest.digest);
    assert.equal(to.manifest('copy', 'v1')?.digest, image.manifest.digest);
    await copy('none', 'new');
    assert.equal(to.manifest('copy', 'new')?.digest, image.manifest.digest);
    assert.equal((await copy(image.manifest.digest)).skipped, 'same');
  });

  test(`a tag at ${whose} that somebody writes during the copy is not replaced`, async (t) => {
    await using from = await startRegistry();
    await using to = await startRegistry({ conditionalPuts });
    await using copier = new TestCopier(await openHome(t));
    from.seed('app', 'v1', image);
    for (const [tag, ifDigest] of [
      ['v1', old.manifest.digest],
      ['absent', 'none'],
    ] as const) {
      to.seed(tag, 'v1', old);
      const stop = to.behave({
        match: { path: /\/blobs\/uploads/, times: 1 },
        call: () => to.seed(tag, tag, theirs),
      });
      const copying = copier.copy(at(from, 'app:v1'), at(to, `${tag}:${tag}`), { ifDigest });
      await assert.rejects(copying, { code: 'ERR_IF_DIGEST' });
      stop();
      assert.equal(to.manifest(tag, tag)?.digest, theirs.manifest.digest);
    }
  });
}

test('a registry that reads conditions refuses what is written between the last look and the PUT', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry({ conditionalPuts: true });
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', image);
  to.seed('copy', 'v1', old);
  to.behave({ match: { method: 'PUT', path: /\/manifests\// }, call: () => to.seed('copy', 'v1', theirs) });
  const copying = copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { ifDigest: old.manifest.digest });
  await assert.rejects(copying, { code: 'ERR_IF_DIGEST' });
  assert.equal(to.manifest('copy', 'v1')?.digest, theirs.manifest.digest);
});

for (const form of ['dir', 'oci', 'oci-archive']) {
  test(`--if-digest with ${form}: leaves another image as it is`, async (t) => {
    await using from = await startRegistry();
    const home = await openHome(t);
    await using copier = new TestCopier(home);
    from.seed('app', 'old', old);
    from.seed('app', 'v1', image);
    const path = `${form}:${join(home.path, 'image')}${form === 'dir' ? '' : ':v1'}`;
    await assert.rejects(copier.copy(at(from, 'app:v1'), path, { ifDigest: old.manifest.digest }), {
      code: 'ERR_IF_DIGEST',
    });
    await copier.copy(at(from, 'app:old'), path, { ifDigest: 'none' });
    await assert.rejects(copier.copy(at(from, 'app:v1'), path, { ifDigest: 'none' }), { code: 'ERR_IF_DIGEST' });
    assert.equal((await copier.copy(path, at(from, 'app:back'))).digest, old.manifest.digest);
    await copier.copy(at(from, 'app:v1'), path, { ifDigest: old.manifest.digest });
    assert.equal((await copier.copy(path, at(from, 'app:back'))).digest, image.manifest.digest);
  });
}

test('a layout that somebody else writes to during the copy keeps the image that came first', async (t) => {
  await using from = await startRegistry();
  const home = await openHome(t);
  await using copier = new TestCopier(home);
  from.seed('app', 'v1', image);
  from.seed('app', 'theirs', theirs);
  const path = `oci:${join(home.path, 'image')}:v1`;
  from.behave({
    match: { path: /\/app\/blobs\//, times: 1 },
    call: async () => void (await copier.copy(at(from, 'app:theirs'), path)),
  });
  await assert.rejects(copier.copy(at(from, 'app:v1'), path, { ifDigest: 'none' }), { code: 'ERR_IF_DIGEST' });
  assert.equal((await copier.copy(path, at(from, 'app:back'))).digest, theirs.manifest.digest);
});

test('--require-referrer: of each type, something refers to the image or to each image of its index', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  seedSigned(from);
  const copy = (requiredReferrers: readonly string[], options: CopyOptions = {}): ReturnType<TestCopier['copy']> =>
    copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { requiredReferrers, ...options });
  const refused = { code: 'ERR_REQUIRED_REFERRER', kind: 'failed', side: 'source' };
  await assert.rejects(copy(['text/none']), refused);
  // One of two images has an SBOM.
  await assert.rejects(copy([NOTATION, SBOM]), refused);
  // What refers to the index does not refer to an image of it.
  await assert.rejects(copy([NOTATION], { platforms: [{ os: 'linux', architecture: 'amd64' }] }), refused);
  assert.equal(writesTo(to), 0);
  await copy([NOTATION]);
  assert.ok(to.manifest('copy', 'v1'));
});
