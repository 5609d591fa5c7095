import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../src/digest/digest.ts';
import { MediaType } from '../../src/manifest/media-types.ts';
import { buildImage, describe, type TestImage } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
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
