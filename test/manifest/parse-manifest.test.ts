import fc from 'fast-check';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MediaType } from '../../src/manifest/media-types.ts';
import { InvalidManifestError, MAX_MANIFEST_BYTES, parseManifest } from '../../src/manifest/parse-manifest.ts';
import {
  artifactManifest,
  attachedSbom,
  buildkitCache,
  buildkitIndex,
  chunkedImage,
  cosignSignature,
  dockerImage,
  dockerList,
  helmChart,
  json,
  plainOciImage,
  windowsImage,
} from './samples.ts';

test('reads a docker image: config, and layers in order with those that come twice (behaviour 33)', () => {
  assert.deepEqual(parseManifest(json(dockerImage, 3)), {
    kind: 'image',
    mediaType: MediaType.dockerManifest,
    config: dockerImage.config,
    layers: dockerImage.layers,
    isArtifact: false,
  });
});

test('reads an OCI image with annotations', () => {
  assert.deepEqual(parseManifest(json(chunkedImage)), {
    kind: 'image',
    mediaType: MediaType.ociManifest,
    config: chunkedImage.config,
    layers: chunkedImage.layers,
    annotations: chunkedImage.annotations,
    isArtifact: false,
  });
});

test('reads the URLs of foreign layers', () => {
  const manifest = parseManifest(json(windowsImage));
  assert(manifest.kind === 'image');
  assert.deepEqual(manifest.layers[0]?.urls, windowsImage.layers[0]?.urls);
});

test('reads an index: platforms, attestations, order', () => {
  assert.deepEqual(parseManifest(json(buildkitIndex, 2)), {
    kind: 'index',
    mediaType: MediaType.ociIndex,
    manifests: buildkitIndex.manifests,
  });
});

test('reads the versions and features of a platform', () => {
  const list = parseManifest(json(dockerList));
  assert(list.kind === 'index');
  assert.deepEqual(list.manifests[1]?.platform, {
    architecture: 'amd64',
    os: 'windows',
    osVersion: '10.0.20348.2700',
    osFeatures: ['win32k'],
  });
});

test('reads an index of things that are no manifests', () => {
  const cache = parseManifest(json(buildkitCache));
  assert(cache.kind === 'index');
  assert.deepEqual(cache.manifests, buildkitCache.manifests);
});

test('tells artifacts from images by config and artifactType (behaviour 31)', () => {
  assert(isArtifact(helmChart));
  assert(isArtifact(attachedSbom));
  assert(isArtifact(artifactManifest));
  assert(!isArtifact(dockerImage));
  assert(!isArtifact(plainOciImage));
  assert(!isArtifact(cosignSignature));
});

test('reads the subject of an artifact', () => {
  const manifest = parseManifest(json(attachedSbom));
  assert(manifest.kind === 'image');
  assert.deepEqual(manifest.subject, attachedSbom.subject);
  assert.equal(manifest.artifactType, 'application/spdx+json');
});

test('reads the blobs of an OCI artifact manifest as layers', () => {
  assert.deepEqual(parseManifest(json(artifactManifest)), {
    kind: 'image',
    mediaType: MediaType.ociArtifactManifest,
    config: undefined,
    layers: artifactManifest.blobs,
    subject: artifactManifest.subject,
    artifactType: 'application/spdx+json',
    isArtifact: true,
  });
});

test('takes null for an empty list, as Go writes it', () => {
  const image = parseManifest(json({ ...plainOciImage, layers: null, annotations: null }));
  assert(image.kind === 'image');
  assert.deepEqual(image.layers, []);
  const index = parseManifest(json({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: null }));
  assert(index.kind === 'index');
  assert.deepEqual(index.manifests, []);
});

test('refuses what is not JSON', () => {
  for (const text of ['', '{', '<html>', '{} {}', '\ufeff{}', '{"size":NaN}']) {
    assert.throws(() => parseManifest(Buffer.from(text)), { message: 'invalid manifest: it is not JSON' });
  }
});

test('keeps keys that are names of prototypes as data', () => {
  const text = JSON.stringify(plainOciImage).replace(
    '"layers":[{',
    '"__proto__":{"polluted":"yes","manifests":[]},"constructor":{"prototype":1},"layers":[{"annotations":{"__proto__":"a","toString":"b"},',
  );
  const manifest = parseManifest(Buffer.from(text));
  assert(manifest.kind === 'image');
  const annotations = manifest.layers[0]?.annotations ?? {};
  assert.deepEqual(Object.entries(annotations), [
    ['__proto__', 'a'],
    ['toString', 'b'],
  ]);
  assert.equal(Object.hasOwn(Object.prototype, 'polluted'), false);
});

test('reads no field out of a prototype', () => {
  const text = `{"__proto__":${JSON.stringify(plainOciImage)}}`;
  assert.throws(() => parseManifest(Buffer.from(text)), InvalidManifestError);
});

test('refuses more than 4 MiB (behaviour 49)', () => {
  assert.equal(parseManifest(padded(MAX_MANIFEST_BYTES)).kind, 'image');
  assert.throws(() => parseManifest(padded(MAX_MANIFEST_BYTES + 1)), /4194305 bytes, more than 4194304/);
});

test('survives a document nested as deep as its limit allows', () => {
  const depth = MAX_MANIFEST_BYTES / 2 - 100;
  const nested = `{"mediaType":"${MediaType.ociIndex}","x":${'['.repeat(depth)}${']'.repeat(depth)}}`;
  assert.equal(parseManifest(Buffer.from(nested)).kind, 'index');
});

test('answers any bytes with a manifest or with an error of its own', () => {
  const parts = fc.constantFrom(...Object.keys(dockerImage), 'manifests', 'fsLayers', 'history', 'blobs', 'signatures');
  const anything = fc.oneof(fc.jsonValue(), fc.constantFrom(1, 2, dockerImage.config, dockerImage.layers));
  fc.assert(
    fc.property(fc.dictionary(parts, anything), (document) => {
      try {
        parseManifest(json(document));
      } catch (error) {
        assert(error instanceof InvalidManifestError);
      }
    }),
  );
});

function isArtifact(document: object): boolean {
  const manifest = parseManifest(json(document));
  return manifest.kind === 'image' && manifest.isArtifact;
}

function padded(length: number): Buffer {
  const bytes = json(plainOciImage);
  return Buffer.concat([bytes, Buffer.alloc(length - bytes.length, ' ')]);
}
