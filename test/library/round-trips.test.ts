import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildImage, buildIndex, randomBytes } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import type { EndpointOptions } from '../../src/index.ts';
import { authKinds, costOf, countMethods } from './round-trips.ts';
import { at, openHome, TestCopier, type TestHome } from './test-copier.ts';
import { inWaves } from '../support/waves.ts';

const LAYERS = 4;
/** The config is a blob too. */
const BLOBS = LAYERS + 1;
const timeout = 20_000;
const credentials = { username: 'user', password: 'secret' };

const base = randomBytes('base', 1000);
const first = buildImage({ layers: [base, ...layersNamed('first', LAYERS - 1)] });
const second = buildImage({ layers: [base, ...layersNamed('second', LAYERS - 1)] });
const third = buildImage({ layers: layersNamed('third', LAYERS) });

function layersNamed(name: string, count: number): readonly Buffer[] {
  return Array.from({ length: count }, (_, index) => randomBytes(`${name} ${index}`, 1000));
}

function assertCost(
  registries: readonly TestRegistry[],
  cost: { readonly waits: number; readonly requests: number },
): void {
  assert.deepEqual(costOf(...registries), cost);
}

/** What a run has learnt is stored at its end. */
async function anotherRun(before: TestCopier, home: TestHome, endpoint: EndpointOptions): Promise<TestCopier> {
  await before[Symbol.asyncDispose]();
  return new TestCopier(home, { endpoint });
}

for (const [how, auth] of Object.entries(authKinds)) {
  const options = auth === undefined ? {} : { auth };
  // Who shows credentials to a registry that asks nobody pays for one look at /v2/, where the first answer is 404.
  const endpoint = auth === undefined ? {} : credentials;

  test(`asks both sides once where the tag is there at this digest, ${how}`, { timeout }, async (t) => {
    await using from = await startRegistry(options);
    await using to = await startRegistry(options);
    await using copier = new TestCopier(await openHome(t), { endpoint });
    from.seed('app', 'v1', first);
    to.seed('copy', 'v1', first);
    inWaves([from, to], [2]);
    assert.equal((await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'))).skipped, 'same');
    assertCost([from, to], { waits: 1, requests: 2 });
  });

  test(`copies a new image of n small blobs in 4 waits and 2 + 4n + 1 requests, ${how}`, { timeout }, async (t) => {
    await using from = await startRegistry(options);
    await using to = await startRegistry(options);
    await using copier = new TestCopier(await openHome(t), { endpoint });
    from.seed('app', 'v1', first);
    const [, blobs, puts, last] = inWaves([from, to], [2, 3 * BLOBS, BLOBS, 1]);
    await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
    assert.deepEqual(countMethods(blobs), { GET: BLOBS, HEAD: BLOBS, POST: BLOBS });
    assert.deepEqual(countMethods(puts), { PUT: BLOBS });
    assert.deepEqual(last, ['PUT /v2/copy/manifests/v1']);
    assertCost([from, to], { waits: 4, requests: 2 + 4 * BLOBS + 1 });
  });

  for (const when of ['run', 'other run'] as const) {
    const name = `needs 2 + 3n + 1 requests once a self-mount was granted in ${when === 'run' ? 'this' : 'an'} ${when}, ${how}`;
    test(name, { timeout }, async (t) => {
      await using from = await startRegistry(options);
      await using to = await startRegistry(options);
      for (const [tag, image] of Object.entries({ v1: first, v2: second, v3: third })) from.seed('app', tag, image);
      const home = await openHome(t);
      await using copier = new TestCopier(home, { endpoint });
      for (const tag of ['v1', 'v2']) await copier.copy(at(from, `app:${tag}`), at(to, `copy:${tag}`));
      assert.equal(copier.outcomes.filter((outcome) => outcome === 'reused').length, 1);
      await using other = when === 'run' ? copier : await anotherRun(copier, home, endpoint);
      from.reset();
      to.reset();
      inWaves([from, to], [2, 2 * BLOBS, BLOBS, 1]);
      await other.copy(at(from, 'app:v3'), at(to, 'copy:v3'));
      assertCost([from, to], { waits: 4, requests: 2 + 3 * BLOBS + 1 });
      assert.equal(to.count({ method: 'HEAD' }), 0);
    });
  }

  test(
    `mounts every blob of one registry in 3 waits and 2 + n + 1 requests, ${how} (behaviour 68)`,
    { timeout },
    async (t) => {
      await using registry = await startRegistry(options);
      await using copier = new TestCopier(await openHome(t), { endpoint });
      registry.seed('team/app', 'v1', first);
      registry.seed('team/app', 'v3', third);
      // The first request to a host goes out alone: it learns how to authenticate there.
      await copier.copy(at(registry, 'team/app:v1'), at(registry, 'copy:v1'));
      registry.reset();
      const [, mounts] = inWaves([registry], [2, BLOBS, 1]);
      const { blobs } = await copier.copy(at(registry, 'team/app:v3'), at(registry, 'copy:v3'));
      assert.deepEqual(blobs, { total: BLOBS, reused: 0, mounted: BLOBS, partial: 0, copied: 0 });
      assert.deepEqual(countMethods(mounts), { POST: BLOBS });
      assertCost([registry], { waits: 3, requests: 2 + BLOBS + 1 });
    },
  );

  test(`takes 2 waits more for an index, and a GET and a PUT an instance, ${how}`, { timeout }, async (t) => {
    const images = ['amd64', 'arm64', 's390x'].map((architecture) =>
      buildImage({ layers: { count: 1, size: 1000, seed: architecture }, platform: { os: 'linux', architecture } }),
    );
    const [instances, blobs] = [images.length, 2 * images.length];
    await using from = await startRegistry(options);
    await using to = await startRegistry(options);
    await using copier = new TestCopier(await openHome(t), { endpoint });
    from.seed('app', 'v1', buildIndex({ images: images.map((image) => ({ image })) }));
    const waves = inWaves([from, to], [2, instances, 3 * blobs, blobs, instances, 1]);
    assert.equal((await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'))).manifests, 1 + instances);
    assert.deepEqual(countMethods(waves[1]), { GET: instances });
    assert.deepEqual(countMethods(waves[4]), { PUT: instances });
    assert.deepEqual(waves[5], ['PUT /v2/copy/manifests/v1']);
    assertCost([from, to], { waits: 6, requests: 2 + 2 * instances + 4 * blobs + 1 });
  });
}
