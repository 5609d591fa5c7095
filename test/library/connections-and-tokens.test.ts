import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildImage, buildIndex } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { authKinds } from './round-trips.ts';
import { at, openHome, TestCopier } from './test-copier.ts';
import { inWaves } from '../support/waves.ts';

const timeout = 10_000;
const LAYERS = 4;
const BLOBS = LAYERS + 1;
const image = buildImage({ layers: { count: LAYERS, size: 1000 } });

test(
  'opens no more connections than it has requests in flight, and none for the copies after (behaviour 53)',
  { timeout },
  async (t) => {
    const images = Array.from({ length: 6 }, (_, index) =>
      buildImage({
        layers: { count: 5, size: 1000, seed: `${index}` },
        platform: { os: 'linux', architecture: `a${index}` },
      }),
    );
    await using from = await startRegistry();
    await using to = await startRegistry();
    await using copier = new TestCopier(await openHome(t));
    from.seed('app', 'v1', buildIndex({ images: images.map((one) => ({ image: one })) }));
    from.seed('app', 'v2', image);
    from.seed('app', 'v3', buildImage({ layers: { count: 8, size: 1000, seed: 'v3' } }));
    await copier.copy(at(from, 'app:v1'), at(to, 'app:v1'));
    assert.equal(to.blobs('app').length, 36);
    for (const registry of [from, to]) {
      assert.ok(registry.connections <= 64, `${registry.connections} connections`);
      registry.reset();
    }
    for (const tag of ['v2', 'v3', 'v1']) await copier.copy(at(from, `app:${tag}`), at(to, `app:${tag}`));
    assert.deepEqual([from.connections, to.connections], [0, 0]);
  },
);

test('fetches one token a registry for a run, and none for the copies after', { timeout }, async (t) => {
  const auth = { kind: 'bearer', username: 'user', password: 'secret' } as const;
  await using from = await startRegistry({ auth });
  await using to = await startRegistry({ auth });
  await using copier = new TestCopier(await openHome(t), { endpoint: { username: 'user', password: 'secret' } });
  from.seed('app', 'v1', image);
  from.seed('app', 'v2', buildImage({ layers: { count: 3, size: 1000, seed: 'v2' } }));
  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
  await copier.copy(at(from, 'app:v2'), at(to, 'copy:v2'));
  assert.deepEqual(
    from.tokens.map(({ scopes }) => scopes),
    [['repository:app:pull']],
  );
  assert.deepEqual(
    to.tokens.map(({ scopes }) => scopes),
    [['repository:copy:pull,push']],
  );
});

test('fetches one token with both scopes to mount from the source (behaviour 68)', { timeout }, async (t) => {
  const auth = { kind: 'bearer', username: 'user', password: 'secret' } as const;
  await using registry = await startRegistry({ auth });
  await using copier = new TestCopier(await openHome(t), { endpoint: { username: 'user', password: 'secret' } });
  registry.seed('team/app', 'v1', image);
  const { blobs } = await copier.copy(at(registry, 'team/app:v1'), at(registry, 'copy:v1'));
  assert.equal(blobs.mounted, BLOBS);
  assert.deepEqual(registry.tokens.map(({ scopes }) => scopes.join(' ')).toSorted(), [
    'repository:copy:pull,push repository:team/app:pull',
    'repository:team/app:pull',
  ]);
});

for (const [what, auth] of Object.entries(authKinds)) {
  test(`asks for both manifests at once in a copy inside one registry ${what}`, { timeout }, async (t) => {
    await using registry = await startRegistry(auth && { auth });
    await using copier = new TestCopier(await openHome(t), { endpoint: { username: 'user', password: 'secret' } });
    registry.seed('team/app', 'v1', image);
    const [manifests] = inWaves([registry], [2]);
    await copier.copy(at(registry, 'team/app:v1'), at(registry, 'copy:v1'));
    assert.deepEqual(manifests?.toSorted(), ['GET /v2/copy/manifests/v1', 'GET /v2/team/app/manifests/v1']);
    const refused = registry.select({ when: ({ status }) => status === 401 });
    assert.equal(refused.length, auth === undefined ? 0 : 2, 'each side learns once that it has to log in');
    assert.equal(registry.tokens.length, auth?.kind === 'bearer' ? 2 : 0);
  });
}
