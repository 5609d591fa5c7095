import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestHex, digestOf } from '../../src/digest/digest.ts';
import { parsePlatform } from '../../src/manifest/platform.ts';
import { buildImage, buildIndex, randomBytes } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const MiB = 1024 * 1024;
const layers = {
  small: randomBytes('small', 2000),
  large: randomBytes('large', 5 * MiB),
  ranged: randomBytes('ranged', 20 * MiB),
};

for (const [what, layer] of Object.entries(layers)) {
  for (const into of ['registry', 'dir'] as const) {
    test(`fetches a ${what} layer into a ${into} once more, past any cache, when its bytes are wrong once`, async (t) => {
      const home = await openHome(t);
      await using from = await startRegistry();
      await using to = await startRegistry();
      await using copier = new TestCopier(home);
      const digest = digestOf(layer);
      from.seed('app', 'v1', buildImage({ layers: [layer] }));
      from.behave({ match: { method: 'GET', path: new RegExp(digest), times: 1 }, wrongBytes: true });
      const directory = join(home.path, 'image');
      await copier.copy(at(from, 'app:v1'), into === 'dir' ? `dir:${directory}` : at(to, 'copy:v1'));
      const stored = into === 'dir' ? await readFile(join(directory, digestHex(digest))) : to.blob('copy', digest);
      assert.ok(stored?.equals(layer));
      assert.deepEqual(to.sessions, []);
      if (what !== 'ranged') {
        const fetched = from.select({ method: 'GET', path: new RegExp(digest) });
        assert.deepEqual(
          fetched.map(({ headers }) => headers['cache-control']),
          [undefined, 'no-cache'],
        );
        assert.equal(copier.events.filter(({ type }) => type === 'retry').length, 1);
      }
    });
  }
}

test('fetches a manifest once more, past any cache, when its bytes are wrong once', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  const image = buildImage({ layers: [layers.small] });
  const index = buildIndex({ images: [{ image }] });
  from.seed('app', 'v1', index);
  const MANIFEST = { method: 'GET', path: new RegExp(image.manifest.digest) };
  from.behave({ match: { ...MANIFEST, times: 1 }, status: 200, body: index.manifest.bytes.toString() });
  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
  assert.equal(to.manifest('copy', 'v1')?.digest, index.manifest.digest);
  assert.deepEqual(
    from.select(MANIFEST).map(({ headers }) => headers['cache-control']),
    [undefined, 'no-cache'],
  );
});

const page = {
  status: 200,
  headers: { 'content-type': 'text/html' },
  body: `<html>${'maintenance '.repeat(500)}</html>`,
};

test('fetches a manifest once more when a page of a proxy comes in its place, by tag or by digest', async (t) => {
  const image = buildImage({ layers: [layers.small] });
  const index = buildIndex({ images: [{ image }] });
  for (const path of [/manifests\/v1$/, new RegExp(`manifests/${image.manifest.digest}`)]) {
    await using from = await startRegistry();
    await using to = await startRegistry();
    await using copier = new TestCopier(await openHome(t));
    from.seed('app', 'v1', index);
    from.behave({ match: { method: 'GET', path, times: 1 }, ...page });
    await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
    assert.equal(to.manifest('copy', 'v1')?.digest, index.manifest.digest);
    assert.deepEqual(
      from.select({ method: 'GET', path }).map(({ headers }) => headers['cache-control']),
      [undefined, 'no-cache'],
    );
  }
});

test('fails on a manifest in whose place other bytes come twice', async (t) => {
  const image = buildImage({ layers: [layers.small] });
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', buildIndex({ images: [{ image }] }));
  from.behave({ match: { path: new RegExp(`manifests/${image.manifest.digest}`) }, ...page, body: '<html></html>' });
  await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'copy:v1')), { kind: 'integrity' });
  assert.deepEqual(to.tags('copy'), []);
});

test('fetches a config that tells the platform once more, past any cache, when its bytes are wrong once', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  const image = buildImage({ layers: [layers.small] });
  const [config] = [...image.blobs.keys()];
  const CONFIG = { method: 'GET', path: new RegExp(config!) };
  from.seed('app', 'v1', image);
  from.behave({ match: { ...CONFIG, times: 1 }, wrongBytes: true });
  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { platforms: [parsePlatform('linux/amd64')] });
  assert.equal(to.manifest('copy', 'v1')?.digest, image.manifest.digest);
  const [first, second] = from.select(CONFIG).map(({ headers }) => headers['cache-control']);
  assert.deepEqual([first, second], [undefined, 'no-cache']);
});

test('fails on bytes that are wrong twice, before the tag is written', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  const path = new RegExp(digestOf(layers.small));
  from.seed('app', 'v1', buildImage({ layers: [layers.small] }));
  from.behave({ match: { method: 'GET', path }, wrongBytes: true });
  await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'copy:v1')), { kind: 'integrity' });
  assert.equal(from.count({ method: 'GET', path }), 2);
  assert.deepEqual([to.tags('copy'), to.sessions], [[], []]);
});

test('fails on a blob that ends early without a length, before the tag is written', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  const match = { method: 'GET', path: new RegExp(digestOf(layers.large)) };
  from.seed('app', 'v1', buildImage({ layers: [layers.large] }));
  from.behave({ match: { ...match, when: ({ range }) => range !== undefined }, status: 416 });
  from.behave({ match, cutAfterBytes: MiB, how: 'end' });
  await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'copy:v1')), { kind: 'integrity' });
  assert.deepEqual([to.tags('copy'), to.sessions], [[], []]);
});
