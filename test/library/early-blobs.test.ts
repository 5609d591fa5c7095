import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CopyOptions } from '../../src/index.ts';
import { buildImage, buildIndex, randomBytes } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { costOf, countMethods } from './round-trips.ts';
import { at, openHome, TestCopier } from './test-copier.ts';
import { inWaves } from '../support/waves.ts';

const timeout = 10_000;
const LAYERS = 4;
const BLOBS = LAYERS + 1;
const image = buildImage({ layers: { count: LAYERS, size: 1000 } });

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

const asked: Readonly<Record<string, { options: CopyOptions; tags: number }>> = {
  'that gets several tags': { options: { additionalTags: ['v1.0', 'latest'] }, tags: 2 },
  'that is forced': { options: { force: true }, tags: 0 },
};
for (const [which, { options, tags }] of Object.entries(asked)) {
  test(
    `opens blobs as early for an image ${which}, also where the destination is slow to say what it has`,
    { timeout },
    async (t) => {
      await using from = await startRegistry();
      await using to = await startRegistry();
      await using copier = new TestCopier(await openHome(t));
      from.seed('app', 'v1', image);
      // With several tags, the first PUT shows that this registry takes them one at a time only.
      const named = tags > 0 ? [1, 1 + tags] : [1];
      const [, blobs] = inWaves([from, to], [2, 3 * BLOBS + tags, BLOBS, ...named]);
      to.behave({ match: { method: 'GET', path: /manifests/ }, latencyMs: 30 });
      await copier.copy(at(from, 'app:v1'), at(to, 'app:v1'), options);
      assert.deepEqual(countMethods(blobs), { GET: BLOBS, HEAD: BLOBS + tags, POST: BLOBS });
      assert.deepEqual(costOf(from, to), { waits: tags > 0 ? 5 : 4, requests: 2 + 4 * BLOBS + tags + sum(named) });
      assert.deepEqual(to.tags('app').toSorted(), ['v1', ...(options.additionalTags ?? [])].toSorted());
    },
  );
}

test(
  'asks by HEAD alone for what the image now under the tag has, and fetches nothing of it',
  { timeout },
  async (t) => {
    const kept = Array.from({ length: 3 }, (_, index) => randomBytes(`kept ${index}`, 1000));
    const old = buildImage({ layers: [...kept, randomBytes('old', 1000)] });
    const next = buildImage({ layers: [...kept, randomBytes('new', 1000)] });
    await using from = await startRegistry();
    await using to = await startRegistry();
    await using copier = new TestCopier(await openHome(t));
    from.seed('app', 'v1', next);
    to.seed('app', 'v1', old);
    // Of the new layer and the new config each a GET, a HEAD and a POST.
    const [, blobs] = inWaves([from, to], [2, 3 + 3 * 2, 2, 1]);
    const result = await copier.copy(at(from, 'app:v1'), at(to, 'app:v1'));
    assert.deepEqual([result.blobs.reused, result.blobs.copied], [3, 2]);
    assert.deepEqual(countMethods(blobs), { HEAD: 5, GET: 2, POST: 2 });
    assert.deepEqual(costOf(from, to), { waits: 4, requests: 2 + 9 + 2 + 1 });
  },
);

test(
  'asks for the platforms of an index at once, and for a blob that they share once (behaviour 19)',
  { timeout },
  async (t) => {
    const shared = randomBytes('shared', 1000);
    const images = ['amd64', 'arm64'].map((architecture) =>
      buildImage({ layers: [shared, randomBytes(architecture, 1000)], platform: { os: 'linux', architecture } }),
    );
    await using from = await startRegistry();
    await using to = await startRegistry();
    await using copier = new TestCopier(await openHome(t));
    from.seed('app', 'v1', buildIndex({ images: images.map((one) => ({ image: one })) }));
    const blobs = 5;
    inWaves([from, to], [2, 2, 3 * blobs, blobs, 2, 1]);
    const result = await copier.copy(at(from, 'app:v1'), at(to, 'app:v1'));
    assert.equal(result.blobs.total, blobs);
    assert.equal(costOf(from, to).waits, 6);
  },
);

test('asks for no blob for another tag of the same repository', { timeout }, async (t) => {
  await using registry = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  registry.seed('app', 'v1', image);
  registry.seed('app', 'v0', buildImage({ layers: [] }));
  await copier.copy(at(registry, 'app:v0'), at(registry, 'app:latest'));
  registry.reset();
  inWaves([registry], [2, 1]);
  const { blobs } = await copier.copy(at(registry, 'app:v1'), at(registry, 'app:latest'));
  assert.equal(blobs.total, 0);
  assert.deepEqual(costOf(registry), { waits: 2, requests: 3 });
});

test('opens what the image under the tag lacks early, whatever number of blobs it has', { timeout }, async (t) => {
  const kept = Array.from({ length: 8 }, (_, index) => randomBytes(`kept ${index}`, 2000));
  const added = Array.from({ length: 3 }, (_, index) => randomBytes(`added ${index}`, 1000));
  await using from = await startRegistry();
  await using to = await startRegistry();
  // Four light blobs at a time, the larger ones first.
  await using copier = new TestCopier(await openHome(t), { jobs: 1 });
  from.seed('app', 'v1', buildImage({ layers: [...kept, ...added] }));
  to.seed('app', 'v1', buildImage({ layers: kept }));
  const [, , , late] = inWaves([from, to], [2, 4, 4, 3 * 4, 4, 1]);
  await copier.copy(at(from, 'app:v1'), at(to, 'app:v1'));
  assert.deepEqual(countMethods(late), { GET: 4, HEAD: 4, POST: 4 });
});
