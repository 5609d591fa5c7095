import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManifestReader } from '../../src/copy/manifest-reader.ts';
import type { Descriptor } from '../../src/manifest/descriptor.ts';
import { fakeRun } from '../support/fakes.ts';
import { buildImage, buildIndex, describe } from '../support/images.ts';

const image = buildImage({ layers: { count: 1, size: 100 } });
const index = buildIndex({ images: [{ image }] });
const entry: Descriptor = describe(image.manifest.bytes, image.manifest.mediaType);

function readerOf(): ManifestReader {
  return new ManifestReader(fakeRun({ image: index }).run);
}

/** So many different entries of so many bytes each. */
function entries(count: number, size = 1000): readonly Descriptor[] {
  return Array.from({ length: count }, (_, number) => ({
    ...entry,
    digest: `sha256:${String(number).padStart(64, '0')}` as const,
    size,
  }));
}

test('reads a manifest that is as its descriptor says', async () => {
  assert.equal(await readerOf().read(entry), image.manifest);
});

for (const size of [entry.size - 1, entry.size + 1, 0]) {
  test(`refuses a manifest of ${entry.size} bytes whose descriptor says ${size}`, async () => {
    await assert.rejects(readerOf().read({ ...entry, size }), { code: 'ERR_CONTENT_MISMATCH', kind: 'integrity' });
  });
}

test('refuses one digest with two sizes', () => {
  const twice = [entry, { ...entry, size: entry.size + 1 }];
  assert.throws(() => readerOf().expect(index.manifest, twice, 0), { code: 'ERR_CONTENT_MISMATCH', kind: 'integrity' });
  const reader = readerOf();
  reader.expect(index.manifest, [entry, entry], 0);
  assert.throws(() => reader.expect(index.manifest, twice.slice(1), 1), { code: 'ERR_CONTENT_MISMATCH' });
});

test('refuses more manifests than 3,000, in one index or in several', () => {
  readerOf().expect(index.manifest, entries(3000), 0);
  const tooMany = {
    code: 'ERR_TOO_MANY_MANIFESTS',
    message: 'fake:source: the image names 3001 manifests; at most 3000 are read',
  };
  assert.throws(() => readerOf().expect(index.manifest, entries(3001), 0), tooMany);
  const reader = readerOf();
  reader.expect(index.manifest, entries(1500), 0);
  reader.expect(index.manifest, entries(1500), 1);
  assert.throws(() => reader.expect(index.manifest, entries(1), 1), tooMany, 'the same ones again count as well');
});

test('refuses manifests of more than 16 MiB together', () => {
  readerOf().expect(index.manifest, entries(16, 1024 * 1024), 0);
  assert.throws(() => readerOf().expect(index.manifest, entries(17, 1024 * 1024), 0), {
    code: 'ERR_TOO_MANY_MANIFESTS',
    message: /have 17825792 bytes; at most 16777216 are read/,
  });
});

test('refuses an index below four others', () => {
  readerOf().expect(index.manifest, [entry], 3);
  assert.throws(() => readerOf().expect(index.manifest, [entry], 4), { code: 'ERR_INDEX_TOO_DEEP' });
});
