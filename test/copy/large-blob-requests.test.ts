import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CopyEvent } from '../../src/index.ts';
import { buildImage } from '../support/images.ts';
import { assertCopied, copyTo, openScene } from './partial-copies.ts';

const SIZE = 400e6;

/** Sparse: zeros, with a mark every so often that tells where in the blob it stands. */
function sparseBlob(): Buffer {
  const blob = Buffer.alloc(SIZE);
  for (let offset = 0; offset + 8 <= SIZE; offset += 65_521) blob.writeDoubleBE(offset, offset);
  return blob;
}

test('a registry that serves blobs itself is asked at most 100 times a GB', { timeout: 120_000 }, async (t) => {
  const scene = await openScene(t);
  const image = buildImage({ layers: [sparseBlob()] });
  scene.from.seed('app', '1', image);
  // As over a line: a near source is read as one stream.
  scene.from.behave({ match: { method: 'GET', path: /blobs|manifests/ }, latencyMs: 50 });
  const { bytes } = await copyTo('dir', scene, '1');
  await assertCopied('dir', scene, image);
  const count = scene.from.count({ method: 'GET', path: /blobs/ });
  assert.ok(count <= (SIZE / 1e9) * 100 + 10, `${count} requests`);
  assert.ok(count > 4, 'several at a time');
  assert.ok(bytes.fetched <= bytes.total + 2, 'and the two bytes that were asked for to learn how');
});

test('a large blob that comes as one stream is told of, at its beginning and its end', async (t) => {
  const scene = await openScene(t);
  scene.from.seed('app', '1', buildImage({ layers: [Buffer.alloc(70 * 1024 * 1024)] }));
  const streams: boolean[] = [];
  const onEvent = (event: CopyEvent): void => void (event.type === 'blob-stream' && streams.push(event.isOpen));
  await copyTo('registry', scene, '1', { partial: 'never', onEvent });
  assert.deepEqual(streams, [true, false]);
});
