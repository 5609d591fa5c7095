import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readManifestTree } from '../../src/copy/manifest-tree.ts';
import { planBlobs, type BlobStep } from '../../src/copy/plan-blobs.ts';
import { fakeRun } from '../support/fakes.ts';
import { buildImage, buildIndex, randomBytes } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { destinationAt, openAccess, sourceAt } from '../support/registry-transport.ts';

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
  assert.deepEqual(steps, ['reuse', 'partial', 'whole', 'partial', 'whole']);
  assert.deepEqual(new Set(to.requests.map(({ method }) => method)), new Set(['HEAD']));
  assert.equal(to.sessions.length, 0);
});

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
