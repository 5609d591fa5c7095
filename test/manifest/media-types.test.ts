import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  isForeignLayerType,
  isImageManifestType,
  isIndexType,
  isManifestType,
  isSchema1Type,
  MANIFEST_ACCEPT,
  MediaType,
} from '../../src/manifest/media-types.ts';

const indexes: readonly string[] = [MediaType.ociIndex, MediaType.dockerManifestList];
const images: readonly string[] = [MediaType.ociManifest, MediaType.dockerManifest, MediaType.ociArtifactManifest];
const schema1: readonly string[] = [MediaType.schema1Manifest, MediaType.schema1SignedManifest];

for (const mediaType of Object.values(MediaType)) {
  test(`${mediaType} is of one kind`, () => {
    assert.equal(isIndexType(mediaType), indexes.includes(mediaType));
    assert.equal(isImageManifestType(mediaType), images.includes(mediaType));
    assert.equal(isSchema1Type(mediaType), schema1.includes(mediaType));
    assert.equal(isManifestType(mediaType), [...indexes, ...images, ...schema1].includes(mediaType));
    assert.equal(isForeignLayerType(mediaType), /foreign|nondistributable/.test(mediaType));
  });
}

test('accepts every kind of manifest, each once', () => {
  assert.deepEqual(MANIFEST_ACCEPT.toSorted(), [...indexes, ...images, ...schema1].toSorted());
});
