import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { pushTestImage, sampleImages } from '../support/integration-images.ts';
import { requireTool } from '../support/real-tools.ts';
import { temporaryDirectory } from '../transports/dir/image-directory.ts';
import { copyAfresh, craneDigest, realKinds, referenceAt } from './real-ends.ts';

for (const { name, start } of realKinds) {
  for (const [what, image] of Object.entries(sampleImages)) {
    test(`${what} gets further tags on ${name} without a look at its blobs`, async (t) => {
      const crane = requireTool(t, 'crane');
      const registry = await start(t);
      if (crane === undefined || registry === undefined) return;
      const folder = await temporaryDirectory(t);
      await pushTestImage({ url: registry.url, name: 'app' }, '1', image);
      const logged = async (): Promise<number> =>
        (await readFile(registry.logFile, 'utf8')).match(/http\.request\.uri="?\/v2\/app\/blobs\//g)?.length ?? 0;
      const before = await logged();
      const [one, two] = [referenceAt(registry, 'app:1'), referenceAt(registry, 'app:2')];
      const named = await copyAfresh(one, two, folder);
      assert.ok(named.requests.source + named.requests.destination <= 4);
      const again = await copyAfresh(one, two, folder, { additionalTags: ['3'] });
      assert.deepEqual([named.blobs.total, again.blobs.total], [0, 0]);
      assert.equal(await logged(), before);
      for (const tag of ['2', '3'])
        assert.equal(await craneDigest(crane, referenceAt(registry, `app:${tag}`)), image.manifest.digest);
      const unchanged = await copyAfresh(one, two, folder, { additionalTags: ['3'], noClobber: true });
      assert.equal(unchanged.skipped, 'exists');
      assert.equal((await copyAfresh(one, two, folder, { additionalTags: ['3'] })).skipped, 'same');
    });
  }
}
