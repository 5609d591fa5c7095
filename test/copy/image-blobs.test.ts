import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blobsOf } from '../../src/copy/image-blobs.ts';
import type { BlobToCopy } from '../../src/copy/blob-to-copy.ts';
import { digestOf } from '../../src/digest/digest.ts';
import { parseManifest } from '../../src/manifest/parse-manifest.ts';
import { withLayerFields } from '../support/layer-fields.ts';
import { fakeRun, type FakeRun, type FakeRunOptions } from '../support/fakes.ts';
import {
  buildArtifact,
  buildImage,
  buildSchema1,
  EMPTY_LAYER,
  randomBytes,
  type TestImage,
} from '../support/images.ts';

const [first, second] = [randomBytes('first', 1000), randomBytes('second', 2000)];
const platform = { os: 'linux', architecture: 'arm64' };

async function blobsIn(
  image: TestImage,
  options: FakeRunOptions = {},
): Promise<{ readonly blobs: readonly BlobToCopy[]; readonly calls: FakeRun['calls'] }> {
  const { run, calls } = fakeRun({ image, ...options });
  const parsed = parseManifest(image.manifest.bytes, image.manifest.mediaType);
  if (parsed.kind === 'index') throw new Error('no index was expected');
  const entry = { mediaType: image.manifest.mediaType, digest: image.manifest.digest, size: 1, platform };
  return { blobs: await blobsOf(run, { raw: image.manifest, parsed, entry }), calls };
}

test('names the layers in their order and the config last, each for what it is', async () => {
  const image = buildImage({ layers: [first, second, first], platform });
  const { blobs } = await blobsIn(image);
  assert.deepEqual(
    blobs.map(({ info, ...rest }) => ({ digest: info.digest, size: info.size, ...rest })),
    [
      ...[first, second, first].map((layer, layerIndex) => ({
        digest: digestOf(layer),
        size: layer.length,
        name: 'layer',
        isConfig: false,
        layerIndex,
        platform,
        substitutable: undefined,
      })),
      {
        digest: [...image.blobs.keys()][0],
        size: [...image.blobs.values()][0]?.length,
        name: 'config',
        isConfig: true,
        layerIndex: undefined,
        platform,
        substitutable: undefined,
      },
    ],
  );
});

test('lets layers of images be substituted where the user does, never configs and the files of artifacts', async () => {
  const run = { substitute: true };
  const image = await blobsIn(buildImage({ layers: [first] }), { run });
  assert.deepEqual(
    image.blobs.map(({ substitutable }) => substitutable),
    [{ manifestMediaType: 'application/vnd.oci.image.manifest.v1+json' }, undefined],
  );
  const artifact = await blobsIn(buildArtifact({ files: { a: first } }), { run });
  assert.deepEqual(
    artifact.blobs.map(({ substitutable }) => substitutable),
    [undefined, undefined],
  );
});

test('asks for the sizes of the layers of schema 1', async () => {
  const { blobs, calls } = await blobsIn(buildSchema1({ layers: [first, null, first, null] }));
  assert.deepEqual(
    blobs.map(({ info, layerIndex }) => [info.digest, info.size, layerIndex]),
    // Schema 1 begins with the topmost; positions are counted from the lowest, as in every other image.
    [
      [digestOf(first), first.length, 3],
      [digestOf(EMPTY_LAYER), EMPTY_LAYER.length, 2],
      [digestOf(first), first.length, 1],
      [digestOf(EMPTY_LAYER), EMPTY_LAYER.length, 0],
    ],
  );
  assert.deepEqual(calls, ['getBlobSize', 'getBlobSize']);
});

const foreignTypes = [
  'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
];
for (const mediaType of foreignTypes) {
  test(`leaves a layer of type ${mediaType} where its URLs say, if the destination lets it (behaviour 32)`, async () => {
    const urls = ['https://elsewhere.test/layer'];
    const image = withLayerFields(buildImage({ layers: [first, second] }), { mediaType, urls });
    const digests = async (acceptsForeignLayerUrls: boolean, includeForeign = false): Promise<readonly string[]> => {
      const { blobs } = await blobsIn(image, { destination: { acceptsForeignLayerUrls }, run: { includeForeign } });
      return blobs.filter(({ isConfig }) => !isConfig).map(({ info }) => info.digest);
    };
    assert.deepEqual(await digests(true), [digestOf(second)]);
    assert.deepEqual(await digests(false), [digestOf(first), digestOf(second)]);
    assert.deepEqual(await digests(true, true), [digestOf(first), digestOf(second)]);
    const { blobs } = await blobsIn(image, { destination: { acceptsForeignLayerUrls: true } });
    assert.equal(blobs[0]?.layerIndex, 1, 'the others keep their places');
  });
}

test('copies a layer that only one of both makes foreign: its type, or its URLs', async () => {
  const [mediaType = ''] = foreignTypes;
  for (const fields of [{ mediaType }, { mediaType, urls: [] }, { urls: ['https://elsewhere.test/layer'] }]) {
    const { blobs } = await blobsIn(withLayerFields(buildImage({ layers: [first] }), fields));
    assert.equal(blobs.length, 2, JSON.stringify(fields));
  }
});
