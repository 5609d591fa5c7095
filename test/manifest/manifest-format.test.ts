import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidManifestError } from '../../src/manifest/manifest.ts';
import { parseJsonObject } from '../../src/manifest/json-fields.ts';
import { manifestMediaType } from '../../src/manifest/manifest-format.ts';
import { MediaType } from '../../src/manifest/media-types.ts';
import {
  artifactManifest,
  buildkitIndex,
  descriptor,
  dockerImage,
  dockerList,
  helmChart,
  json,
  plainOciImage,
  schema1,
  signSchema1,
} from './samples.ts';

const dockerShape = { schemaVersion: 2, config: dockerImage.config, layers: dockerImage.layers };
const indexShape = { schemaVersion: 2, manifests: buildkitIndex.manifests };

const found: readonly (readonly [what: string, document: object, declared: string | undefined, expected: string])[] = [
  ['its own mediaType over the declared type', dockerImage, MediaType.ociManifest, MediaType.dockerManifest],
  ['its own mediaType over text/plain', buildkitIndex, 'text/plain', MediaType.ociIndex],
  ['its own mediaType where none is declared', dockerList, undefined, MediaType.dockerManifestList],
  ['its own mediaType of an artifact manifest', artifactManifest, undefined, MediaType.ociArtifactManifest],

  ['the config of an image over the declared type', dockerShape, MediaType.ociManifest, MediaType.dockerManifest],
  ['the config of an OCI image', plainOciImage, MediaType.dockerManifest, MediaType.ociManifest],
  ['the shape of an index over a declared image', indexShape, MediaType.ociManifest, MediaType.ociIndex],
  ['the shape of an image over a declared index', plainOciImage, MediaType.ociIndex, MediaType.ociManifest],
  ['the shape of schema 1 over application/json', schema1, 'application/json', MediaType.schema1Manifest],
  [
    'the shape over a mediaType that is unknown',
    { ...plainOciImage, mediaType: 'a/b' },
    undefined,
    MediaType.ociManifest,
  ],
  ['blobs, where there is nothing else', { blobs: [] }, undefined, MediaType.ociArtifactManifest],

  ['the declared type of an index', indexShape, MediaType.dockerManifestList, MediaType.dockerManifestList],
  [
    'the declared type, whatever its parameters',
    indexShape,
    ` ${MediaType.dockerManifestList.toUpperCase()}; charset=utf-8`,
    MediaType.dockerManifestList,
  ],
  [
    'the declared type of an empty index',
    { schemaVersion: 2, manifests: null },
    MediaType.ociIndex,
    MediaType.ociIndex,
  ],
  [
    'the declared type where the config decides nothing',
    { ...dockerShape, config: descriptor('a/b', 'x') },
    MediaType.dockerManifest,
    MediaType.dockerManifest,
  ],
  ['OCI where nothing decides', helmChart, undefined, MediaType.ociManifest],
  ['OCI for an index where nothing decides', indexShape, undefined, MediaType.ociIndex],
];

for (const [what, document, declared, expected] of found) {
  test(`goes by ${what}`, () => {
    assert.equal(manifestMediaType(parseJsonObject(json(document)), declared), expected);
  });
}

test('tells signed from unsigned schema 1 by its signatures alone', () => {
  const signed = signSchema1(json(schema1, 3));
  assert.equal(manifestMediaType(parseJsonObject(signed), MediaType.schema1Manifest), MediaType.schema1SignedManifest);
  const unsigned = json({ ...schema1, mediaType: MediaType.schema1SignedManifest });
  assert.equal(manifestMediaType(parseJsonObject(unsigned), undefined), MediaType.schema1Manifest);
});

const ambiguous: readonly (readonly [string, object, RegExp])[] = [
  ['an image with manifests', { ...dockerImage, manifests: [] }, /should have no manifests/],
  ['an index with layers', { ...buildkitIndex, layers: [] }, /should have no layers/],
  ['an index with a config', { ...buildkitIndex, config: {} }, /should have no config/],
  ['both shapes without a mediaType', { ...plainOciImage, manifests: [] }, /should have no manifests/],
  ['an image with history', { ...dockerImage, history: [] }, /should have no history/],
  ['an image with fsLayers', { ...dockerImage, fsLayers: [] }, /should have no fsLayers/],
  ['schema 1 with layers', { ...schema1, layers: [] }, /should have no layers/],
  ['schema 1 with manifests', { ...schema1, manifests: [] }, /should have no manifests/],
  ['an artifact manifest with layers', { ...artifactManifest, layers: [] }, /should have no layers/],

  ['manifests in capitals in an image', { ...dockerImage, MANIFESTS: [] }, /"MANIFESTS" should be manifests/],
  ['a second list of layers', { ...dockerImage, Layers: [] }, /"Layers" should be layers/],
  ['layers with a long s', { ...dockerImage, layerſ: [] }, /"layerſ" should be layers/],
  ['another mediaType', { ...dockerImage, mediatype: MediaType.ociIndex }, /"mediatype" should be mediaType/],
  ['another schemaVersion', { ...dockerImage, SchemaVersion: 1 }, /"SchemaVersion" should be schemaVersion/],
  ['fsLayers in small letters', { ...dockerImage, fslayers: [] }, /"fslayers" should be fsLayers/],
];

for (const [what, document, problem] of ambiguous) {
  test(`refuses ${what} as ambiguous (behaviour 25)`, () => {
    assert.throws(
      () => manifestMediaType(parseJsonObject(json(document)), undefined),
      (error: unknown) => {
        assert(error instanceof InvalidManifestError);
        assert.match(error.message, /ambiguous/);
        assert.match(error.message, problem);
        return true;
      },
    );
  });
}

test('takes fields that are null for absent, and does not mind unknown ones', () => {
  const document = { ...dockerImage, manifests: null, Layers: null, data: {}, comment: 'x' };
  assert.equal(manifestMediaType(parseJsonObject(json(document)), undefined), MediaType.dockerManifest);
});

test('refuses what looks like no manifest, whatever it was declared to be', () => {
  for (const declared of [undefined, MediaType.ociIndex, MediaType.schema1Manifest, 'application/json']) {
    assert.throws(() => manifestMediaType(parseJsonObject(json({ schemaVersion: 2 })), declared), /none of config/);
  }
});
