import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawImage } from '../../src/cli/inspect-tree.ts';
import { digestOf } from '../../src/digest/digest.ts';
import { MediaType } from '../../src/manifest/media-types.ts';

const [manifest, config, layer] = ['manifest', 'config', 'layer'].map((name) => digestOf(Buffer.from(name)));
assert.ok(manifest !== undefined && config !== undefined && layer !== undefined);

const image = {
  reference: 'docker://registry.test/app:1',
  digest: manifest,
  mediaType: MediaType.ociManifest,
  size: 500,
  platform: { os: 'linux', architecture: 'amd64' },
  config: { digest: config, mediaType: MediaType.ociConfig, size: 500 },
  layers: [{ digest: layer, mediaType: MediaType.ociLayerGzip, size: 4_000_000, compression: 'gzip' as const }],
};

test('an image is drawn with whole digests, and the size of all it is made of', () => {
  assert.deepEqual(drawImage(image), [
    'docker://registry.test/app:1',
    `└─ linux/amd64  ${manifest}  4.0 MB in 1 layer  ${MediaType.ociManifest}`,
    `   ├─ config  ${config}   500 B  ${MediaType.ociConfig}`,
    `   └─ layer   ${layer}  4.0 MB  ${MediaType.ociLayerGzip}`,
  ]);
});

for (const [columns, line] of [
  [200, `   └─ layer   ${layer}  4.0 MB  ${MediaType.ociLayerGzip}`],
  [120, `   └─ layer   ${layer}  4.0 MB  gzip`],
  [70, `   └─ layer   ${layer.slice(0, 19)}…  4.0 MB  gzip`],
  [60, `   └─ layer   ${layer.slice(0, 19)}…  4.0 MB`],
] as const) {
  test(`every line fits a terminal of ${columns} columns, and none is cut`, () => {
    const lines = drawImage(image, columns);
    assert.equal(lines[3], line);
    for (const one of lines) assert.ok(one.length < columns, one);
  });
}

test('an index is drawn with the sum of its different blobs, what it lacks, and which version it is', () => {
  const { reference: _reference, platform: _platform, ...instance } = image;
  const lines = drawImage({
    reference: 'dir:x',
    digest: config,
    mediaType: MediaType.ociIndex,
    size: 1000,
    annotations: { 'org.opencontainers.image.version': '3.20', other: 'x' },
    manifests: [
      { ...instance, platform: { os: 'linux', architecture: 'amd64' } },
      {
        ...instance,
        digest: layer,
        platform: { os: 'linux', architecture: 'arm64' },
        layers: undefined,
        missing: true,
      },
    ],
  });
  assert.equal(lines[1], 'version 3.20');
  assert.match(lines[2] ?? '', / in 2 entries {2}/);
  assert.match(lines.at(-2) ?? '', /linux\/arm64 .* missing {2}/);
});

test('a layer in a chunked format is distinguished from one that is compressed as a whole', () => {
  const chunked = { ...image, layers: [{ ...image.layers[0], digest: layer, compression: 'estargz' as const }] };
  assert.match(drawImage(chunked)[3] ?? '', /tar\+gzip \(estargz\)$/);
});

test('schema 1 tells no sizes, and is drawn without', () => {
  const { config: _config, platform: _platform, ...rest } = image;
  const lines = drawImage({ ...rest, mediaType: MediaType.schema1Manifest, layers: [{ digest: layer }] });
  assert.deepEqual(lines.slice(1), [
    `└─ ${manifest}  500 B in 1 layer  ${MediaType.schema1Manifest}`,
    `   └─ layer  ${layer}`,
  ]);
});

test('a subject and attestations are named for what they are', () => {
  const attestation = {
    digest: config,
    mediaType: MediaType.ociManifest,
    size: 10,
    annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
  };
  const subject = { digest: manifest, mediaType: MediaType.ociManifest, size: 20 };
  const lines = drawImage({
    ...attestation,
    mediaType: MediaType.ociIndex,
    reference: 'dir:x',
    subject,
    manifests: [attestation],
  });
  assert.match(lines[2] ?? '', /├─ subject +sha256:/);
  assert.match(lines[3] ?? '', /└─ attestation {2}sha256:.* 10 B/);
});
