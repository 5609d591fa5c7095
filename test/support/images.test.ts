import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { digestOf, type Digest } from '../../src/digest/digest.ts';
import { buildArtifact, buildImage, buildIndex, buildSchema1, EMPTY_LAYER, randomBytes, tarGzLayer } from './images.ts';
import { tar } from './tar-layer.ts';

interface Manifest {
  readonly mediaType: string;
  readonly artifactType?: string;
  readonly config: { readonly digest: Digest; readonly mediaType: string };
  readonly layers: readonly {
    readonly digest: Digest;
    readonly size: number;
    readonly mediaType: string;
    readonly annotations?: unknown;
  }[];
  readonly manifests: readonly { readonly digest: Digest; readonly platform?: unknown }[];
}

function parse(bytes: Buffer | undefined): unknown {
  return JSON.parse(bytes?.toString('utf8') ?? 'null');
}

test('makes the same random bytes for the same seed', () => {
  assert.deepEqual(randomBytes(1, 1000), randomBytes(1, 1000));
  assert.deepEqual(randomBytes(1, 1000), randomBytes(1, 2000).subarray(0, 1000));
  assert.notDeepEqual(randomBytes(1, 1000), randomBytes(2, 1000));
});

test('describes layers and config by their digests, and diff_ids by what the layers hold', () => {
  const layers = [tarGzLayer({ 'etc/name': 'a' }), randomBytes('plain', 50)];
  const image = buildImage({ layers, layerAnnotations: [undefined, { key: 'value' }] });
  const manifest = parse(image.manifest.bytes) as Manifest;
  assert.equal(image.manifest.digest, digestOf(image.manifest.bytes));
  assert.equal(manifest.mediaType, image.manifest.mediaType);
  assert.deepEqual(
    manifest.layers.map(({ digest, size, annotations }) => ({ digest, size, annotations })),
    layers.map((layer, index) => ({
      digest: digestOf(layer),
      size: layer.length,
      annotations: index === 1 ? { key: 'value' } : undefined,
    })),
  );
  const config = parse(image.blobs.get(manifest.config.digest)) as { rootfs: { diff_ids: string[] } };
  assert.deepEqual(config.rootfs.diff_ids, [digestOf(tar({ 'etc/name': 'a' })), digestOf(layers[1] ?? EMPTY_LAYER)]);
  for (const [digest, bytes] of image.blobs) assert.equal(digest, digestOf(bytes));
});

test('writes docker media types', () => {
  const manifest = parse(buildImage({ layers: { count: 1, size: 1 }, format: 'docker' }).manifest.bytes) as Manifest;
  assert.equal(manifest.mediaType, 'application/vnd.docker.distribution.manifest.v2+json');
  assert.equal(manifest.layers[0]?.mediaType, 'application/vnd.docker.image.rootfs.diff.tar.gzip');
});

test('lists the instances of an index, nested ones first, and all blobs', () => {
  const amd64 = buildImage({ layers: { count: 1, size: 10, seed: 'amd64' } });
  const arm64 = buildImage({ layers: { count: 1, size: 10, seed: 'arm64' }, format: 'docker' });
  const platform = { os: 'windows', architecture: 'amd64', osVersion: '10.0' };
  const inner = buildIndex({ images: [{ image: arm64 }] });
  const outer = buildIndex({ images: [{ image: amd64, platform }, { image: inner }] });
  assert.deepEqual(outer.instances, [amd64.manifest, arm64.manifest, inner.manifest]);
  assert.equal(outer.blobs.size, 4);
  const { manifests } = parse(outer.manifest.bytes) as Manifest;
  assert.deepEqual(manifests[0]?.platform, { os: 'windows', architecture: 'amd64', 'os.version': '10.0' });
  assert.equal(manifests[1]?.digest, inner.manifest.digest);
});

test('makes an artifact with the empty config', () => {
  const artifact = buildArtifact({ artifactType: 'example/sbom', files: { 'a.txt': 'hello' } });
  const manifest = parse(artifact.manifest.bytes) as Manifest;
  assert.equal(manifest.artifactType, 'example/sbom');
  assert.deepEqual(artifact.blobs.get(manifest.config.digest), Buffer.from('{}'));
  assert.deepEqual(manifest.layers[0]?.annotations, { 'org.opencontainers.image.title': 'a.txt' });
});

test('makes schema 1, with the digest of its payload also when it is signed', () => {
  const layers = [randomBytes(1, 10), null];
  const plain = buildSchema1({ layers });
  const signed = buildSchema1({ layers, signed: true });
  assert.equal(signed.manifest.digest, plain.manifest.digest);
  assert.notDeepEqual(signed.manifest.bytes, plain.manifest.bytes);
  assert.ok((parse(signed.manifest.bytes) as { signatures?: unknown }).signatures);
  const emptyLayer: Digest = 'sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4';
  assert.deepEqual(plain.blobs.get(emptyLayer), EMPTY_LAYER);
  assert.ok(gunzipSync(EMPTY_LAYER).every((byte) => byte === 0));
});
