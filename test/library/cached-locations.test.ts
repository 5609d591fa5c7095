import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildImage, buildIndex, randomBytes } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const image = buildImage({ layers: { count: 3, size: 1000 } });
const BLOBS = 4;
const isUpload = { method: 'POST', path: /\/blobs\/uploads\// };
const isMount = { method: 'POST', path: /\?mount=/ };
const isManifestPut = { method: 'PUT', path: /\/manifests\// };

test('mounts blobs from where the cache has seen them, by one token with both scopes', async (t) => {
  const home = await openHome(t);
  const auth = { kind: 'bearer', username: 'user', password: 'secret' } as const;
  const endpoint = { username: 'user', password: 'secret' };
  await using from = await startRegistry();
  await using to = await startRegistry({ auth });
  from.seed('app', 'v1', image);
  {
    await using copier = new TestCopier(home, { endpoint });
    await copier.copy(at(from, 'app:v1'), at(to, 'first:v1'));
  }
  to.reset();
  await using copier = new TestCopier(home, { endpoint });
  const { blobs } = await copier.copy(at(from, 'app:v1'), at(to, 'second:v1'));
  assert.deepEqual([blobs.mounted, blobs.copied], [BLOBS, 0]);
  assert.deepEqual(
    to.select(isUpload).map(({ path }) => /&from=(.*)/.exec(path)?.[1]),
    Array(BLOBS).fill('first'),
  );
  assert.deepEqual(to.tokens.map(({ scopes }) => scopes.join(' ')).toSorted(), [
    'repository:second:pull,push',
    'repository:second:pull,push repository:first:pull',
  ]);
  assert.deepEqual(to.manifest('second', 'v1'), image.manifest);
});

test('forgets a place where a blob is no more, and finds it in the next', async (t) => {
  const home = await openHome(t);
  const [lost = ''] = [...image.blobs.keys()];
  await using from = await startRegistry();
  await using to = await startRegistry();
  from.seed('app', 'v1', image);
  const copyTo = async (repository: string): Promise<number> => {
    to.reset();
    await using copier = new TestCopier(home);
    await copier.copy(at(from, 'app:v1'), at(to, `${repository}:v1`));
    return to.count({ ...isMount, when: ({ path }) => path.endsWith(`mount=${lost}&from=first`) });
  };
  await copyTo('first');
  to.remove('first', lost);
  assert.equal(await copyTo('second'), 1);
  assert.ok(to.blobs('second').some((digest) => digest === lost));
  to.remove('second', lost);
  assert.equal(await copyTo('third'), 0, 'first is not asked again');
  assert.deepEqual(to.manifest('third', 'v1'), image.manifest);
});

test('sends blobs after all that a registry claimed to have mounted (MANIFEST_BLOB_UNKNOWN)', async (t) => {
  const shared = randomBytes('shared', 1000);
  const instances = ['a', 'b', 'c'].map((name) =>
    buildImage({ layers: [shared, randomBytes(name, 1000)], platform: { os: 'linux', architecture: name } }),
  );
  const index = buildIndex({ images: instances.map((one) => ({ image: one })) });
  await using registry = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  registry.seed('team/app', 'v1', index);
  registry.behave({ match: isMount, status: 201, headers: { location: '/v2/copy/blobs/x' } });
  const result = await copier.copy(at(registry, 'team/app:v1'), at(registry, 'copy:v1'));
  assert.deepEqual(registry.manifest('copy', 'v1'), index.manifest);
  assert.equal(result.blobs.copied, index.blobs.size);
  for (const [digest, bytes] of index.blobs) assert.deepEqual(registry.blob('copy', digest), bytes);
  assert.equal(registry.count({ method: 'PUT', path: /\/blobs\/uploads\// }), index.blobs.size, 'each of them once');
  assert.ok(registry.count(isManifestPut) <= 2 * instances.length + 1);
});

test('fails with what the registry says where it is missing blobs that it was sent', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t), { retryTimes: 1 });
  from.seed('app', 'v1', image);
  const body = JSON.stringify({ errors: [{ code: 'MANIFEST_BLOB_UNKNOWN', message: 'blob unknown to registry' }] });
  to.behave({ match: isManifestPut, status: 404, body });
  await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'copy:v1')), {
    code: 'ERR_MISSING_BLOBS',
    message: `writing manifest ${image.manifest.digest} to ${at(to, 'copy:v1')}`,
  });
});
