import assert from 'node:assert/strict';
import { mkdir, readdir, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { PartialPlan, PlannedPiece } from '../../src/contract/image-destination.ts';
import type { CopyEvent } from '../../src/contract/progress.ts';
import { readManifestTree } from '../../src/copy/manifest-tree.ts';
import { planBlobs, type BlobStep } from '../../src/copy/plan-blobs.ts';
import { digestHex, digestOf } from '../../src/digest/digest.ts';
import { MemoryBudget } from '../../src/io/memory.ts';
import { openDirDestination } from '../../src/transports/dir/dir-destination.ts';
import { fakeRun } from '../support/fakes.ts';
import { buildImage, buildIndex, randomBytes } from '../support/images.ts';
import { loadFixture } from '../support/integration-images.ts';
import { startRegistry } from '../support/registry.ts';
import { destinationAt, openAccess, sourceAt } from '../support/registry-transport.ts';

import { assertCopied, copyTo, openScene } from './partial-copies.ts';

const MiB = 1024 * 1024;
const shared = randomBytes('shared', 1000);
const platforms = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }));
const images = platforms.map((platform) =>
  buildImage({ layers: [shared, randomBytes(platform.architecture, 2000)], platform }),
);
const index = buildIndex({ images: images.map((image, position) => ({ image, platform: platforms[position] })) });

test('a plan is made without one POST, nor anything else that changes the destination', async () => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using access = openAccess();
  from.seed('app', 'v1', index);
  to.seedBlob('mirror', shared);
  await using source = await sourceAt(access, from, 'app:v1');
  await using destination = await destinationAt(access, to, 'mirror:v1');
  const { run } = fakeRun({ run: { source, destination } });
  const steps: BlobStep['kind'][] = [];
  const tree = readManifestTree(run, await source.getManifest());
  for await (const { step } of planBlobs(run, tree)) steps.push(step.kind);
  assert.deepEqual(steps, ['reuse', 'whole', 'whole', 'whole', 'whole']);
  assert.deepEqual(new Set(to.requests.map(({ method }) => method)), new Set(['HEAD']));
  assert.equal(to.sessions.length, 0);
});

for (const kind of ['registry', 'dir'] as const) {
  test(`a plan of the next version says what comes from where, and a copy into a ${kind} does just that`, async (t) => {
    const [v1, v2] = [await loadFixture('zstdchunked', 'v1'), await loadFixture('zstdchunked', 'v2')];
    const scene = await openScene(t);
    const { from, to, directory } = scene;
    from.seed('app', '1', v1);
    from.seed('app', '2', v2);
    await copyTo(kind, scene, '1');
    const before = kind === 'dir' ? await filesOf(directory) : undefined;
    to.reset();
    await using access = openAccess();
    await using source = await sourceAt(access, from, 'app:2');
    await using destination =
      kind === 'dir' ? openDirDestination(directory) : await destinationAt(access, to, 'app:latest');
    const { run } = fakeRun({ run: { source, destination, memory: new MemoryBudget(24 * MiB) } });
    const plans: PartialPlan[] = [];
    for await (const { step } of planBlobs(run, readManifestTree(run, await source.getManifest())))
      if (step.kind === 'partial') plans.push(step.plan ?? assert.fail());
    const [plan, ...others] = plans;
    assert.ok(plan !== undefined && others.length === 0);
    assert.equal(run.memory.used, 0, 'what the plan held is given back');
    assert.deepEqual(new Set(plan.pieces.map((piece) => piece.kind)), new Set(['reuse', 'fetch']));
    assert.equal(bytesOf(plan.pieces), plan.bytesToFetch + plan.bytesReused);
    if (kind === 'dir') assert.deepEqual(await filesOf(directory), before);
    await destination[Symbol.asyncDispose]();
    assert.deepEqual(to.requests.filter(({ method }) => method !== 'HEAD' && method !== 'GET').length, 0);

    const done: Extract<CopyEvent, { type: 'blob-done' }>[] = [];
    const onEvent = (event: CopyEvent): void => void (event.type === 'blob-done' && done.push(event));
    await copyTo(kind, scene, '2', { onEvent });
    assert.equal(done.find(({ outcome }) => outcome === 'partial')?.bytesReused, plan.bytesReused);
    await assertCopied(kind, scene, v2);
  });
}

test('a plan says what a cut run left in a directory, and leaves it there', async (t) => {
  const large = randomBytes('large', 20 * MiB);
  const { from, directory } = await openScene(t);
  const image = buildImage({ layers: [large] });
  from.seed('app', 'v1', image);
  await mkdir(directory);
  const left = join(directory, `.imgcopy-sha256-${digestHex(digestOf(large))}.partial`);
  await writeFile(left, large.subarray(0, 6 * MiB));
  await utimes(left, 1, 1);
  await using access = openAccess();
  await using source = await sourceAt(access, from, 'app:v1');
  await using destination = openDirDestination(directory);
  const { run } = fakeRun({ run: { source, destination } });
  const { value } = await planBlobs(run, readManifestTree(run, await source.getManifest())).next();
  assert.ok(value?.step.kind === 'partial' && value.step.plan !== undefined);
  assert.deepEqual(value.step.plan.pieces, [
    { kind: 'resume', offset: 0, length: 6 * MiB },
    { kind: 'fetch', offset: 6 * MiB, length: 14 * MiB },
  ]);
  assert.deepEqual([value.step.plan.bytesResumed, value.step.plan.bytesToFetch], [6 * MiB, 14 * MiB]);
  assert.equal((await stat(left)).mtimeMs, 1000);
});

/** What a directory holds, to the byte and the time. */
async function filesOf(directory: string): Promise<readonly string[]> {
  const names = (await readdir(directory)).toSorted();
  return Promise.all(
    names.map(async (name) => {
      const { size, mtimeMs } = await stat(join(directory, name));
      return `${name} ${size} ${mtimeMs}`;
    }),
  );
}

function bytesOf(pieces: readonly PlannedPiece[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

test('a plan names the repository that a blob may be mounted from', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  registry.seed('app', 'v1', index);
  await using source = await sourceAt(access, registry, 'app:v1');
  await using destination = await destinationAt(access, registry, 'mirror:v1');
  const { run } = fakeRun({ run: { source, destination } });
  const tree = readManifestTree(run, await source.getManifest());
  for await (const { step } of planBlobs(run, tree)) assert.deepEqual(step, { kind: 'tryMount', from: 'app' });
  assert.equal(registry.count({ method: 'POST' }), 0);
});

test('a plan is lazy: the destination is asked for a blob when its step is wanted', async () => {
  const { run, calls } = fakeRun({ image: images[0] });
  const steps = planBlobs(run, readManifestTree(run, await run.source.getManifest()));
  assert.deepEqual((await steps.next()).value?.step, { kind: 'whole' });
  assert.deepEqual(calls, ['getManifest', 'tryReusingBlobWithOptions']);
});
