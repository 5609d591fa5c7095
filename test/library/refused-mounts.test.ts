import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildImage } from '../support/images.ts';
import { startRegistry, type RegistryOptions, type Rule } from '../support/registry.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const image = buildImage({ layers: { count: 3, size: 1000 } });
const BLOBS = 4;
const isUpload = { method: 'POST', path: /\/blobs\/uploads\// };
const isMount = { method: 'POST', path: /\?mount=/ };
const bearer = { kind: 'bearer', username: 'user', password: 'secret' } as const;
const endpoint = { username: 'user', password: 'secret' };

const refusals: Readonly<Record<string, { readonly options?: RegistryOptions; readonly rule?: Omit<Rule, 'match'> }>> =
  {
    'with 400': { options: { mount: 400 } },
    'with 405': { options: { mount: 405 } },
    'with 500': { options: { mount: 500 } },
    'with an upload instead': { options: { mount: 'always-202' } },
    'with 401': { rule: { status: 401 } },
    'with 403': { rule: { status: 403 } },
    'with 404': { rule: { status: 404, body: '{"errors":[{"code":"NAME_UNKNOWN"}]}' } },
    'by a broken connection': { rule: { loseAnswer: 'reset' } },
  };
for (const [how, { options, rule }] of Object.entries(refusals)) {
  test(`uploads what a registry refuses to mount ${how}, each blob in one upload`, async (t) => {
    await using registry = await startRegistry(options);
    await using copier = new TestCopier(await openHome(t));
    registry.seed('team/app', 'v1', image);
    if (rule !== undefined) registry.behave({ match: isMount, ...rule });
    const { blobs } = await copier.copy(at(registry, 'team/app:v1'), at(registry, 'copy:v1'));
    assert.equal(blobs.total, BLOBS);
    assert.deepEqual(registry.manifest('copy', 'v1'), image.manifest);
    assert.deepEqual(registry.sessions, [], 'no upload stays open');
    const opened = registry.count({ ...isUpload, when: ({ status }) => status === 202 });
    assert.equal(opened, blobs.copied);
  });
}

test('continues where the token server refuses two repositories in one token', async (t) => {
  for (const severalScopes of ['refuse', 'first'] as const) {
    await using registry = await startRegistry({ auth: { ...bearer, severalScopes } });
    await using copier = new TestCopier(await openHome(t), { endpoint });
    registry.seed('team/app', 'v1', image);
    const { blobs } = await copier.copy(at(registry, 'team/app:v1'), at(registry, 'copy:v1'));
    assert.deepEqual(registry.manifest('copy', 'v1'), image.manifest, severalScopes);
    assert.equal(blobs.mounted + blobs.copied, BLOBS);
    assert.deepEqual(registry.sessions, []);
  }
});

test('fetches no token a blob where mounts are refused with 401', async (t) => {
  await using registry = await startRegistry({ auth: bearer });
  await using copier = new TestCopier(await openHome(t), { endpoint });
  registry.seed('team/app', 'v1', image);
  registry.behave({ match: isMount, status: 401 });
  const { blobs } = await copier.copy(at(registry, 'team/app:v1'), at(registry, 'copy:v1'));
  assert.equal(blobs.copied, BLOBS);
  assert.ok(registry.tokens.length <= 3, `${registry.tokens.length} tokens`);
});

test('tries the mount from the repository itself again in the next run, when a fault of the host was in its way', async (t) => {
  const home = await openHome(t);
  await using from = await startRegistry();
  await using to = await startRegistry();
  for (const tag of ['v1', 'v2', 'v3'])
    from.seed('app', tag, buildImage({ layers: { count: 2, size: 1000, seed: tag } }));
  const mounts: number[] = [];
  for (const [tag, status] of [
    ['v1', 500],
    ['v2', 400],
    ['v3', 400],
  ] as const) {
    await using copier = new TestCopier(home, { retryTimes: 0 });
    to.reset();
    to.behaveWell();
    to.behave({ match: isMount, status });
    await copier.copy(at(from, `app:${tag}`), at(to, `copy:${tag}`));
    mounts.push(to.count(isMount));
  }
  assert.ok(mounts[0] !== undefined && mounts[0] > 0);
  assert.ok(mounts[1] !== undefined && mounts[1] > 0, 'it may have been over');
  assert.equal(mounts[2], 0, 'a refusal is remembered');
});

test('sends what a registry had only claimed to have, and nothing else, however it refuses the manifest', async (t) => {
  const answers = [
    { status: 400, body: '{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}' },
    { status: 400, body: '{"errors":[{"code":"MANIFEST_INVALID"}]}' },
    { status: 500, body: '{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}' },
    { status: 404, body: '' },
  ];
  for (const answer of answers) {
    await using registry = await startRegistry();
    await using copier = new TestCopier(await openHome(t));
    registry.seed('team/app', 'v1', image);
    const [lacking] = image.blobs.keys();
    registry.behave({ match: { method: 'POST', path: new RegExp(`mount=${lacking}`) }, status: 201 });
    registry.behave({ match: { method: 'PUT', path: /copy\/manifests/, times: 1 }, ...answer });
    await copier.copy(at(registry, 'team/app:v1'), at(registry, 'copy:v1'));
    assert.deepEqual(registry.manifest('copy', 'v1'), image.manifest);
    assert.equal(registry.count({ method: 'PUT', path: /copy\/manifests/ }), 2, answer.body);
    assert.equal(registry.count({ method: 'PUT', path: /copy\/blobs/ }), 1, 'one blob was sent');
    assert.equal(registry.count({ method: 'HEAD', path: /copy\/blobs/ }), BLOBS, 'each was looked for');
    assert.deepEqual(registry.sessions, []);
  }
});
