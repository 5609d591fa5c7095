import assert from 'node:assert/strict';
import { test } from 'node:test';
import { substitutedMediaType } from '../../src/manifest/layer-compression.ts';
import { MediaType } from '../../src/manifest/media-types.ts';

const families: readonly (readonly [tar: string, gzip: string, zstd: string | undefined])[] = [
  [MediaType.ociLayer, MediaType.ociLayerGzip, MediaType.ociLayerZstd],
  [MediaType.ociForeignLayer, MediaType.ociForeignLayerGzip, MediaType.ociForeignLayerZstd],
  [MediaType.dockerLayer, MediaType.dockerLayerGzip, undefined],
  [MediaType.dockerForeignLayer, MediaType.dockerForeignLayerGzip, undefined],
];

for (const family of families) {
  const [tar, gzip, zstd] = family;
  for (const original of family) {
    if (original === undefined) continue;
    test(`names ${original} in every compression that its format has (behaviour 25)`, () => {
      assert.equal(substitutedMediaType(original, 'uncompressed'), tar);
      assert.equal(substitutedMediaType(original, 'gzip'), gzip);
      assert.equal(substitutedMediaType(original, 'estargz'), gzip);
      assert.equal(substitutedMediaType(original, 'zstd'), zstd);
      assert.equal(substitutedMediaType(original, 'zstd:chunked'), zstd);
    });
  }
}

test('has no other name for what is not a layer', () => {
  for (const original of [MediaType.ociConfig, 'application/spdx+json', 'uncompressed', '']) {
    assert.equal(substitutedMediaType(original, 'gzip'), undefined);
  }
});
