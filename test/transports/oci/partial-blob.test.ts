import assert from 'node:assert/strict';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Digest } from '../../../src/digest/digest.ts';
import { layoutBlobPath } from '../../../src/manifest/image-layout.ts';
import type { FixtureFormat } from '../../support/fixture-images.ts';
import { buildImage, buildIndex, randomBytes } from '../../support/images.ts';
import { loadFixture } from '../../support/integration-images.ts';
import { startRegistry } from '../../support/registry.ts';
import { bytesSentOf, partialName } from '../../integration/interruptions.ts';
import { at, openHome, TestCopier } from '../../library/test-copier.ts';
import { blobInfo } from '../dir/image-directory.ts';
import { filesIn, holdsBlobsOf, writeLayout, type NamedImage } from './layout-directory.ts';

const unrelated = ['x', 'y', 'z', 'w', 'v', 'u'].map((name): NamedImage => [
  name,
  buildImage({
    layers: [randomBytes(name, 2_000_000), randomBytes(`${name}2`, 9_000_000)],
    layerAnnotations: [undefined, { 'containerd.io/snapshot/stargz/toc.digest': `sha256:${'a'.repeat(64)}` }],
  }),
]);

const formats: readonly FixtureFormat[] = ['zstdchunked', 'zstdchunked-old', 'estargz'];

for (const format of formats) {
  test(`pieces of ${format} layers come from an image of another name, among many`, async (t) => {
    const [v1, v2] = [await loadFixture(format, 'v1'), await loadFixture(format, 'v2')];
    const platform = { os: 'linux', architecture: 'amd64' };
    const layers = layersOf(v2.manifest.bytes);
    const app = layers.at(-1)!;
    for (const old of [v1, buildIndex({ images: [{ image: v1, platform }] })]) {
      const isIndex = old !== v1;
      const fresh = isIndex ? buildIndex({ images: [{ image: v2, platform }] }) : v2;
      const home = await openHome(t);
      const lay = join(home.path, 'lay');
      await writeLayout(lay, ...unrelated.slice(0, 3), ['1', old], ...unrelated.slice(3));
      await using registry = await startRegistry();
      registry.seed('app', '2', fresh);
      await using copier = new TestCopier(home);
      await copier.copy(at(registry, 'app:2'), `oci:${lay}`);
      const done = copier.events.find((event) => event.type === 'blob-done' && event.digest === app.digest);
      assert.ok(done?.type === 'blob-done');
      assert.equal(done.outcome, 'partial');
      assert.ok(bytesSentOf(registry, app.digest) < 0.65 * app.size, 'most of the layer was there');
      assert.equal(await holdsBlobsOf(lay, fresh), true);
    }
  });
}

test('what an earlier run left of a blob is not fetched again', async (t) => {
  const layer = randomBytes('large', 20_000_000);
  const image = buildImage({ layers: [layer] });
  const { digest } = blobInfo(layer);
  const home = await openHome(t);
  const lay = join(home.path, 'lay');
  await writeLayout(lay);
  await writeFile(join(lay, partialName(digest)), layer.subarray(0, 15_000_000));
  await using registry = await startRegistry();
  registry.seed('app', '1', image);
  await using copier = new TestCopier(home);
  await copier.copy(at(registry, 'app:1'), `oci:${lay}`);
  assert.equal(bytesSentOf(registry, digest), 5_000_000);
  assert.equal(await holdsBlobsOf(lay, image), true);
  assert.deepEqual(
    (await filesIn(lay)).filter((name) => name.includes('.imgcopy')),
    [],
  );
});

test('a layout is read by ranges: a registry gets the rest of a blob alone', async (t) => {
  const layer = randomBytes('large', 20_000_000);
  const home = await openHome(t);
  const [lay, copy] = [join(home.path, 'lay'), join(home.path, 'copy')];
  const image = buildImage({ layers: [layer] });
  await writeLayout(lay, ['1', image]);
  await writeLayout(copy);
  const { digest } = blobInfo(layer);
  await writeFile(join(copy, partialName(digest)), layer.subarray(0, 15_000_000));
  await using copier = new TestCopier(home);
  const { bytes } = await copier.copy(`oci:${lay}`, `oci:${copy}`);
  assert.ok(bytes.fetched < 6_000_000, `${bytes.fetched} bytes were read`);
  assert.equal(await holdsBlobsOf(copy, image), true);
});

test('a blob whose bytes are wrong is refused, and nothing of it is published', async (t) => {
  const layer = randomBytes('layer', 2_000_000);
  const image = buildImage({ layers: [layer] });
  const home = await openHome(t);
  const [lay, copy] = [join(home.path, 'lay'), join(home.path, 'copy')];
  await writeLayout(lay, ['1', image]);
  const { digest } = blobInfo(layer);
  const path = join(lay, layoutBlobPath(digest));
  await writeFile(path, Buffer.alloc(layer.length));
  await using registry = await startRegistry();
  await using copier = new TestCopier(home, { retryTimes: 0 });
  for (const destination of [`oci:${copy}`, at(registry, 'app:1')]) {
    await assert.rejects(copier.copy(`oci:${lay}`, destination), { kind: 'integrity' });
  }
  await truncate(path, 1000);
  await assert.rejects(copier.copy(`oci:${lay}`, `oci:${copy}`), { kind: 'integrity' });
  assert.equal(registry.manifest('app', '1'), undefined);
  await assert.rejects(readFile(join(copy, layoutBlobPath(digest))), { code: 'ENOENT' });
  await assert.rejects(readFile(join(copy, 'index.json')), { code: 'ENOENT' });
});

function layersOf(manifest: Buffer): readonly { readonly digest: Digest; readonly size: number }[] {
  return (JSON.parse(manifest.toString()) as { layers: { digest: Digest; size: number }[] }).layers;
}
