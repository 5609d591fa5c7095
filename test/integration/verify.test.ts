import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestHex } from '../../src/digest/digest.ts';
import { verifyImage } from '../../src/index.ts';
import { randomBytes, type TestImage } from '../support/images.ts';
import { pushTestImage, sampleImages } from '../support/integration-images.ts';
import { realTool, runTool } from '../support/real-tools.ts';
import { temporaryDirectory } from '../transports/dir/image-directory.ts';
import { copyAfresh, realKinds, referenceAt } from './real-ends.ts';

for (const { name, start } of realKinds) {
  for (const [what, image] of Object.entries(sampleImages)) {
    test(`${what} on ${name} is whole; then a blob is damaged, and another deleted`, async (t) => {
      const registry = await start(t);
      if (registry === undefined) return;
      await pushTestImage({ url: registry.url, name: 'app' }, '1', image);
      const reference = referenceAt(registry, 'app:1');
      const whole = await verifyImage(reference, { deep: true });
      assert.deepEqual(
        [whole.faults, whole.manifests, whole.blobs],
        [[], image.instances.length + 1, image.blobs.size],
      );

      const [damaged, deleted] = [...image.blobs].toSorted(([, one], [, other]) => other.length - one.length);
      const [hex, size] = [digestHex(damaged?.[0] ?? assert.fail()), damaged?.[1].length ?? 0];
      const folder = join(registry.folder, 'storage/docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex);
      assert.equal((await readFile(join(folder, 'data'))).length, size);
      await writeFile(join(folder, 'data'), randomBytes('damage', size));
      const { status } = await fetch(`${registry.url}/v2/app/blobs/${deleted?.[0]}`, { method: 'DELETE' });
      assert.equal(status, 202);
      const kinds = async (deep: boolean): Promise<readonly string[]> =>
        (await verifyImage(reference, { deep })).faults.map((fault) => `${fault.kind} ${fault.digest}`).toSorted();
      assert.deepEqual(await kinds(false), [`missing ${deleted?.[0]}`]);
      assert.deepEqual(await kinds(true), [`missing ${deleted?.[0]}`, `wrong ${damaged?.[0]}`]);
    });
  }

  test(`what skopeo copied from ${name} into a layout is whole, and the same`, async (t) => {
    const registry = await start(t);
    const skopeo = realTool('skopeo');
    if (registry === undefined || skopeo === undefined) return;
    const folder = await temporaryDirectory(t);
    const image = sampleImages['an index of three platforms'] as TestImage;
    await pushTestImage({ url: registry.url, name: 'app' }, '1', image);
    const reference = referenceAt(registry, 'app:1');
    const layout = `oci:${join(folder, 'layout')}:1`;
    const way = ['copy', '--all', '--preserve-digests', '--insecure-policy', '--src-tls-verify=false'];
    await runTool(skopeo, [...way, reference, layout]);
    const { faults, blobs } = await verifyImage(layout, { deep: true, sameAs: reference });
    assert.deepEqual([faults, blobs], [[], image.blobs.size]);
    await copyAfresh(reference, referenceAt(registry, 'copy:1'), folder);
    const copy = await verifyImage(referenceAt(registry, 'copy:1'), { sameAs: layout });
    assert.deepEqual(copy.faults, []);
  });
}
