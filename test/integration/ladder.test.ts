import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CopyOptions } from '../../src/index.ts';
import type { TestImage } from '../support/images.ts';
import { pushTestImage, sampleImages } from '../support/integration-images.ts';
import { temporaryDirectory } from '../transports/dir/image-directory.ts';
import { CopyWatch } from './blob-outcomes.ts';
import { copyAfresh, realKinds, referenceAt } from './real-ends.ts';

const image = sampleImages['an index of three platforms'] as TestImage;
const all = image.blobs.size;

for (const { name, start } of realKinds) {
  test(`${name}: what is there is reused, what is next door is mounted, and the rest is copied (behaviours 16, 68)`, async (t) => {
    const [registry, other] = [await start(t), await start(t)];
    if (registry === undefined || other === undefined) return;
    const folder = await temporaryDirectory(t);
    await pushTestImage({ url: registry.url, name: 'original' }, '1', image);
    const copy = async (destination: string, options: CopyOptions = {}): Promise<CopyWatch['outcomes']> => {
      const watch = new CopyWatch();
      await copyAfresh(referenceAt(registry, 'original:1'), destination, folder, { ...options, ...watch.options });
      return watch.outcomes;
    };

    assert.deepEqual(await copy(referenceAt(other, 'copy:1')), { copied: all });
    assert.deepEqual(await copy(referenceAt(other, 'copy:2')), { reused: all });
    assert.deepEqual(
      await copy(referenceAt(other, 'copy:2')),
      {},
      'no blob is looked at where the tag has this digest',
    );
    assert.deepEqual(await copy(referenceAt(other, 'copy:2'), { force: true }), { reused: all });
    assert.deepEqual(await copy(referenceAt(registry, 'copy:1')), { mounted: all });
  });
}
