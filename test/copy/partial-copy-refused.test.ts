import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../src/digest/digest.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import type { RequestRecord } from '../support/registry.ts';
import { assertCopied, copyTo, openScene, type Kind, type Scene } from './partial-copies.ts';

const MiB = 1024 * 1024;
const large = randomBytes('large', 36 * MiB);
const image = buildImage({ layers: [large] });
const layerPath = new RegExp(`blobs/${digestOf(large)}`);
const isRanged = ({ range }: RequestRecord): boolean => range !== undefined;

/** How a source takes ranges: it ignores them, or refuses them with a status. */
const ways = [200, 400, 403, 416, 500] as const;

function refuseRanges({ from }: Scene, way: (typeof ways)[number]): void {
  if (way === 200) from.settings.ranges = false;
  else from.behave({ match: { path: layerPath, when: isRanged }, status: way });
}

/** Copies until the destination has 20 MiB or more of the layer, and stops. */
async function interrupt(kind: Kind, scene: Scene): Promise<void> {
  const controller = new AbortController();
  scene.from.behave({ match: { path: /blobs|manifests/ }, latencyMs: 50 });
  const copy = copyTo(kind, scene, '1', {
    signal: controller.signal,
    onEvent: (event) => {
      if (event.type === 'blob-progress' && event.bytes >= 32 * MiB) controller.abort();
    },
  });
  await assert.rejects(copy, { name: 'AbortError' });
  await Promise.all([scene.from.idle(), scene.to.idle()]);
  scene.from.reset();
}

for (const kind of ['registry', 'dir'] as const) {
  for (const way of ways) {
    test(`a part that is there is kept though the source answers ranges by ${way}, in a ${kind}`, async (t) => {
      const scene = await openScene(t);
      scene.from.seed('app', '1', image);
      await interrupt(kind, scene);
      refuseRanges(scene, way);
      const { bytes } = await copyTo(kind, scene, '1', { copier: { retryTimes: 1 } });
      assert.ok(bytes.reused >= 16 * MiB, `${bytes.reused} bytes were kept`);
      await assertCopied(kind, scene, image);
    });
  }
}

test('a host that ignored one range is asked for ranges by the next run', async (t) => {
  const scene = await openScene(t);
  scene.from.seed('app', '1', image);
  scene.from.settings.ranges = false;
  await copyTo('registry', scene, '1');
  scene.from.settings.ranges = true;
  scene.from.reset();
  const other = randomBytes('other', 20 * MiB);
  scene.from.seed('app', '2', buildImage({ layers: [other] }));
  await copyTo('registry', scene, '2');
  const asked = scene.from.select({ path: new RegExp(`blobs/${digestOf(other)}`) });
  assert.ok(asked.length > 0 && asked.every(isRanged));
});
