import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { pushTestImage, sampleImages } from '../support/integration-images.ts';
import { requireTool } from '../support/real-tools.ts';
import { assertHoldsOnly, temporaryDirectory } from '../transports/dir/image-directory.ts';
import { copyAfresh, copyBySkopeo, craneDigest, rawManifest, realPairs, referenceAt } from './real-ends.ts';

for (const { from, to } of realPairs) {
  for (const [what, image] of Object.entries(sampleImages)) {
    test(`${what} goes from ${from.name} to ${to.name}, to a directory and back, and stays the same (behaviours 13, 31, 73)`, async (t) => {
      const [skopeo, crane] = [requireTool(t, 'skopeo'), requireTool(t, 'crane')];
      const [near, far] = [await from.start(t), await to.start(t)];
      if (skopeo === undefined || crane === undefined || near === undefined || far === undefined) return;
      const folder = await temporaryDirectory(t);
      const [ours, theirs, last] = ['ours', 'theirs', 'last'].map((name) => join(folder, name)) as [
        string,
        string,
        string,
      ];
      const [original, copy, back] = [
        referenceAt(near, 'original:1'),
        referenceAt(far, 'copy:1'),
        referenceAt(near, 'back:1'),
      ];
      const { digest } = image.manifest;

      await pushTestImage({ url: near.url, name: 'original' }, '1', image);
      const results = [await copyAfresh(original, copy, folder), await copyAfresh(copy, `dir:${ours}`, folder)];
      await copyBySkopeo(skopeo, `dir:${ours}`, `dir:${theirs}`);
      results.push(await copyAfresh(`dir:${theirs}`, back, folder));
      await copyBySkopeo(skopeo, back, `dir:${last}`);

      for (const result of results) {
        assert.equal(result.digest, digest);
        assert.equal(result.blobs.copied, image.blobs.size);
      }
      for (const reference of [original, copy, `dir:${ours}`, back]) {
        assert.deepEqual(await rawManifest(skopeo, reference), { text: image.manifest.bytes.toString(), digest });
      }
      for (const reference of [original, copy, back]) assert.equal(await craneDigest(crane, reference), digest);
      for (const directory of [ours, theirs, last]) await assertHoldsOnly(directory, image);
    });
  }
}
