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

test('asks for all six kinds of manifest', () => {
  assert.equal(new Set(MANIFEST_ACCEPT).size, 6);
  assert(MANIFEST_ACCEPT.every(isManifestType));
});
