import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { copyTags, type CopyTagsOptions, type TagOutcome } from '../../src/index.ts';
import { cosignImage, cosignTag } from '../library/signed-image.ts';
import { buildImage } from '../support/images.ts';
import { pushTestImage, sampleImages } from '../support/integration-images.ts';
import { requireTool, runTool } from '../support/real-tools.ts';
import { temporaryDirectory } from '../transports/dir/image-directory.ts';
import { craneDigest, realPairs, referenceAt } from './real-ends.ts';

const sample = sampleImages['an index of three platforms'] ?? assert.fail();
const other = buildImage({ layers: { count: 2, size: 1000 } });

async function statuses(outcomes: AsyncIterable<TagOutcome>): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const { tag, status } of outcomes) found.push(`${tag} ${status}`);
  return found.toSorted();
}

for (const { from, to } of realPairs) {
  test(`all tags from ${from.name} to ${to.name}, to a layout, and back`, async (t) => {
    const crane = requireTool(t, 'crane');
    const [source, destination] = [await from.start(t), await to.start(t)];
    if (crane === undefined || source === undefined || destination === undefined) return;
    const folder = await temporaryDirectory(t);
    const repository = { url: source.url, name: 'app' };
    for (const tag of ['1.0', '1.1', 'latest']) await pushTestImage(repository, tag, sample);
    await pushTestImage(repository, 'other', other);
    const signature = cosignTag(sample.manifest.digest, 'sig');
    await pushTestImage(repository, signature, cosignImage('signature'));
    const copy = (one: string, two: string, options: CopyTagsOptions = {}): Promise<readonly string[]> =>
      statuses(copyTags(one, two, { cache: false, env: { HOME: folder }, ...options }));

    const all = ['1.0 copied', '1.1 copied', 'latest copied', 'other copied'];
    assert.deepEqual(await copy(referenceAt(source, 'app'), referenceAt(destination, 'app')), all);
    const listed = async (name: string): Promise<readonly string[]> =>
      (await runTool(crane, ['ls', '--insecure', `${destination.host}/${name}`])).stdout.trim().split('\n').toSorted();
    assert.deepEqual(await listed('app'), ['1.0', '1.1', 'latest', 'other']);
    for (const tag of ['1.0', '1.1', 'latest'])
      assert.equal(await craneDigest(crane, referenceAt(destination, `app:${tag}`)), sample.manifest.digest);
    await runTool(crane, ['validate', '--insecure', '--remote', `${destination.host}/app:latest`]);

    const layout = `oci:${join(folder, 'layout')}`;
    const chosen = { semver: ['1.x'], referrers: true };
    assert.deepEqual(await copy(referenceAt(source, 'app'), layout, chosen), ['1.0 copied', '1.1 copied']);
    assert.deepEqual(await copy(layout, referenceAt(destination, 'back'), { referrers: true }), [
      '1.0 copied',
      '1.1 copied',
    ]);
    assert.deepEqual(await listed('back'), ['1.0', '1.1', signature]);
  });
}
