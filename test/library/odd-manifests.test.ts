import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../src/digest/digest.ts';
import { inspectImage, parsePlatform } from '../../src/index.ts';
import { MediaType } from '../../src/manifest/media-types.ts';
import { buildImage, buildIndex, describe, type TestImage } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { writeImage } from '../transports/dir/image-directory.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const image = buildImage({ layers: { count: 2, size: 500, seed: 'odd' } });

/** The image with another manifest of the same blobs. */
function withManifest(document: object, mediaType: string, of: TestImage = image): TestImage {
  const bytes = Buffer.from(JSON.stringify(document, null, 2));
  return { ...of, manifest: { bytes, mediaType, digest: digestOf(bytes) } };
}

test('copies annotations that are null byte for byte', async (t) => {
  const home = await openHome(t);
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(home);
  const document = JSON.parse(String(image.manifest.bytes)) as { layers: object[] };
  const layers = document.layers.map((layer) => ({ ...layer, annotations: { 'org.example.a': null } }));
  const odd = withManifest({ ...document, layers, annotations: { b: null, c: 'd' } }, MediaType.ociManifest);
  from.seed('app', 'v1', odd);
  await copier.copy(at(from, 'app:v1'), `dir:${home.path}/image`);
  await copier.copy(`dir:${home.path}/image`, at(to, 'copy:v1'));
  assert.deepEqual(to.manifest('copy', 'v1'), odd.manifest);
});

test('copies an OCI artifact manifest from a registry that obeys Accept', async (t) => {
  await using from = await startRegistry({ checkAccept: true });
  await using to = await startRegistry({ checkAccept: true });
  await using copier = new TestCopier(await openHome(t));
  const file = Buffer.from('an SBOM');
  const blobs = new Map([[digestOf(file), file]]);
  const artifact = withManifest(
    {
      mediaType: MediaType.ociArtifactManifest,
      artifactType: 'application/spdx+json',
      blobs: [describe(file, 'text/plain')],
    },
    MediaType.ociArtifactManifest,
    { ...image, blobs },
  );
  from.seed('app', 'v1', artifact);
  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
  assert.deepEqual(to.manifest('copy', 'v1'), artifact.manifest);
  assert.deepEqual(to.blob('copy', digestOf(file)), file);
  assert.equal((await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'))).skipped, 'same');
});

for (const by of [1, -1]) {
  for (const platforms of [undefined, [parsePlatform('linux/amd64')]]) {
    const how = platforms === undefined ? 'copied with its index' : 'chosen by platform';
    test(`refuses a manifest that is ${by} byte off its size in the index, ${how}`, async (t) => {
      await using from = await startRegistry();
      await using to = await startRegistry();
      const home = await openHome(t);
      await using copier = new TestCopier(home);
      const index = buildIndex({ images: [{ image, platform: parsePlatform('linux/amd64') }] });
      const document = JSON.parse(String(index.manifest.bytes)) as { manifests: { size: number }[] };
      const manifests = document.manifests.map((entry) => ({ ...entry, size: entry.size + by }));
      const odd = { ...withManifest({ ...document, manifests }, MediaType.ociIndex, index) };
      from.seed('app', 'v1', odd);
      const directory = `${home.path}/image`;
      await writeImage(directory, odd);
      for (const source of [at(from, 'app:v1'), `dir:${directory}`]) {
        await assert.rejects(copier.copy(source, at(to, 'copy:v1'), { platforms }), {
          kind: 'integrity',
          code: 'ERR_CONTENT_MISMATCH',
        });
      }
      assert.deepEqual(to.tags('copy'), []);
    });
  }
}

test('refuses an index of 20,000 manifests before it reads one, but takes one platform of it', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  const home = await openHome(t);
  await using copier = new TestCopier(home);
  const entry = describe(image.manifest.bytes, MediaType.ociManifest, {
    platform: { os: 'linux', architecture: 'amd64' },
  });
  const others = Array.from({ length: 20_000 }, (_, number) => ({
    mediaType: MediaType.ociManifest,
    digest: digestOf(Buffer.from(String(number))),
    size: 500,
  }));
  const huge = { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [...others, entry] };
  const bytes = Buffer.from(JSON.stringify(huge));
  const manifest = { bytes, mediaType: MediaType.ociIndex, digest: digestOf(bytes) };
  from.seed('app', 'v1', { manifest, instances: [image.manifest], blobs: image.blobs });
  await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'copy:v1')), {
    code: 'ERR_TOO_MANY_MANIFESTS',
    side: 'source',
    hint: /--platform/,
  });
  await assert.rejects(inspectImage(at(from, 'app:v1'), { endpoint: { plainHttp: true }, env: home.env }), {
    code: 'ERR_TOO_MANY_MANIFESTS',
  });
  assert.equal(from.count({ path: /\/manifests\/sha256/ }), 0);
  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { platforms: [parsePlatform('linux/amd64')] });
  assert.deepEqual(to.manifest('copy', 'v1'), image.manifest);
});

test('refuses one blob with two sizes, in one manifest or in two, before the tag is written', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  const document = JSON.parse(String(image.manifest.bytes)) as { layers: { size: number }[] };
  const [first, second] = document.layers as [{ size: number }, { size: number }];
  const off = (layer: { size: number }): object => ({ ...layer, size: layer.size + 1 });
  const twice = withManifest({ ...document, layers: [first, second, off(first)] }, MediaType.ociManifest);
  const wrong = withManifest({ ...document, layers: [off(first), second] }, MediaType.ociManifest);
  from.seed('app', 'one', twice);
  from.seed('app', 'two', buildIndex({ images: [{ image }, { image: wrong }] }));
  to.seed('full', 'old', image);
  for (const tag of ['one', 'two']) {
    for (const repository of ['copy', 'full']) {
      await assert.rejects(copier.copy(at(from, `app:${tag}`), at(to, `${repository}:${tag}`)), {
        kind: 'integrity',
        code: 'ERR_CONTENT_MISMATCH',
      });
    }
  }
  assert.deepEqual([to.tags('copy'), to.tags('full')], [[], ['old']]);
});
