import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildImage, buildIndex, randomBytes, type TestImage } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const MiB = 1024 * 1024;
const timeout = 20_000;

function imageOf(name: string, count: number, size: number): TestImage {
  return buildImage({
    layers: Array.from({ length: count }, (_, index) => randomBytes(`${name} ${index}`, size)),
    platform: { os: 'linux', architecture: name },
  });
}

const isLayer = { method: 'GET', path: /\/blobs\// };

test(
  'moves so many blobs at a time as it may, over all instances and copies (behaviour 17)',
  { timeout },
  async (t) => {
    const index = buildIndex({ images: ['a', 'b'].map((name) => ({ image: imageOf(name, 3, MiB) })) });
    await using from = await startRegistry();
    await using to = await startRegistry();
    await using copier = new TestCopier(await openHome(t), { jobs: 2 });
    from.seed('app', 'v1', index);
    from.seed('other', 'v1', imageOf('c', 3, MiB));
    // The first two wait until they are two.
    from.behave({ match: { ...isLayer, times: 2 }, hold: from.until(() => from.count(isLayer) === 2) });
    await Promise.all([
      copier.copy(at(from, 'app:v1'), at(to, 'copy:v1')),
      copier.copy(at(from, 'other:v1'), at(to, 'copy:v2')),
    ]);
    await from.idle();
    const heavy = { ...isLayer, when: ({ bytesSent }: { bytesSent: number }) => bytesSent >= MiB };
    assert.equal(from.count(heavy), 9);
    assert.equal(from.peak(heavy), 2);
  },
);

test('counts small blobs a quarter', { timeout }, async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t), { jobs: 1 });
  from.seed('app', 'v1', imageOf('small', 12, 1000));
  from.behave({ match: { ...isLayer, times: 4 }, hold: from.until(() => from.count(isLayer) === 4) });
  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
  await from.idle();
  assert.equal(from.count(isLayer), 13);
  assert.equal(from.peak(isLayer), 4);
});

test(
  'copies one blob at a time with one job, and everything with as many as there are (behaviour 17)',
  { timeout },
  async (t) => {
    for (const { jobs, peak } of [
      { jobs: 1, peak: 1 },
      { jobs: 16, peak: 6 },
    ]) {
      await using from = await startRegistry();
      await using to = await startRegistry();
      await using copier = new TestCopier(await openHome(t), { jobs });
      const image = buildImage({ layers: Array.from({ length: 6 }, (_, index) => randomBytes(index, MiB)) });
      from.seed('app', 'v1', image);
      const heavy = {
        ...isLayer,
        when: ({ path }: { path: string }) => !path.endsWith([...image.blobs.keys()][0] ?? ''),
      };
      from.behave({ match: { ...heavy, times: peak }, hold: from.until(() => from.count(heavy) === peak) });
      await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
      await from.idle();
      assert.equal(from.peak(heavy), peak);
    }
  },
);

for (const form of ['dir', 'oci', 'oci-archive', 'docker-archive'] as const) {
  test(`uploads the blobs of ${form}: side by side`, { timeout }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'imgcopy-jobs-'));
    t.after(() => rm(folder, { recursive: true }));
    const source = form === 'dir' ? `dir:${join(folder, 'image')}` : `${form}:${join(folder, 'image')}:test/app:v1`;
    await using from = await startRegistry();
    await using to = await startRegistry();
    await using copier = new TestCopier(await openHome(t));
    // Too long to be read into memory at once.
    from.seed('app', 'v1', imageOf('amd64', 4, 5 * MiB));
    await copier.copy(at(from, 'app:v1'), source);
    const isUpload = { method: 'PATCH', path: /\/blobs\/uploads\// };
    to.behave({ match: { ...isUpload, times: 4 }, hold: to.until(() => to.count(isUpload) === 4) });
    await copier.copy(source, at(to, 'app:v1'));
    await to.idle();
    assert.equal(to.peak(isUpload), 4);
  });
}
