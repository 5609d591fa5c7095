import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { pushImage } from '../../bench/images.ts';
import { startDistribution2, startDistribution3 } from '../support/real-registries.ts';
import { requireTool } from '../support/real-tools.ts';
import { temporaryDirectory } from '../transports/dir/image-directory.ts';
import { copyAfresh, craneDigest, rawManifest, referenceAt } from './real-ends.ts';

const LAYER_BYTES = 1_000_000_000;

test('a layer of 1 GB goes from one registry to another, to a directory and back, and stays the same', async (t) => {
  const [skopeo, crane] = [requireTool(t, 'skopeo'), requireTool(t, 'crane')];
  const [near, far] = [await startDistribution2(t), await startDistribution3(t)];
  if (skopeo === undefined || crane === undefined || near === undefined || far === undefined) return;
  const folder = await temporaryDirectory(t);
  const directory = `dir:${join(folder, 'image')}`;
  const [original, copy] = [referenceAt(near, 'original:1'), referenceAt(far, 'copy:1')];
  const back = referenceAt(near, 'back:1');
  const digest = await pushImage({ url: near.url, name: 'original' }, '1', { layers: [LAYER_BYTES] });

  const ways = [
    [original, copy],
    [copy, directory],
    [directory, back],
  ] as const;
  for (const [source, destination] of ways) {
    const { digest: copied, blobs, bytes } = await copyAfresh(source, destination, folder);
    assert.equal(copied, digest);
    assert.equal(blobs.copied, 2);
    assert.ok(bytes.fetched >= LAYER_BYTES, `${bytes.fetched} bytes came from ${source}`);
    assert.equal((await rawManifest(skopeo, destination)).digest, digest);
  }
  for (const reference of [original, copy, back]) assert.equal(await craneDigest(crane, reference), digest);
});
