import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CopyResult } from '../../src/index.ts';
import { digestOf } from '../../src/digest/digest.ts';
import { buildImage, buildIndex, randomBytes } from '../support/images.ts';
import { startRegistry, type RequestRecord, type TestRegistry } from '../support/registry.ts';
import { exchanges } from '../support/registry-transport.ts';
import { at, openHome, TestCopier, type TestHome } from './test-copier.ts';

const image = buildImage({ layers: { count: 3, size: 1000 } });
const other = buildImage({ layers: [randomBytes('other', 1000)] });
const index = buildIndex({ images: [{ image }, { image: other }] });

const unknownAnswers = [
  [400, 'failed'],
  [401, 'denied'],
  [403, 'denied'],
  [405, 'failed'],
  [429, 'rate-limited'],
  [500, 'failed'],
] as const;
for (const [status, kind] of unknownAnswers) {
  test(`noClobber writes nothing where the look at the tag is answered by ${status}`, async (t) => {
    await using from = await startRegistry();
    await using to = await startRegistry();
    await using copier = new TestCopier(await openHome(t));
    from.seed('app', 'v1', image);
    to.seed('app', 'v1', other);
    to.behave({ match: { when: isLook }, status });
    await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'app:v1'), { noClobber: true }), {
      kind,
      side: 'destination',
      message: `cannot tell whether ${at(to, 'app:v1')} exists, so nothing was written`,
    });
    assert.ok(to.requests.every(({ method }) => method === 'HEAD' || method === 'GET'));
    assert.equal(from.count(), 0);
  });
}

test('noClobber leaves a tag alone whose manifest cannot be read', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', image);
  const odd = { ...other.manifest, bytes: Buffer.from('no manifest') };
  to.seed('app', 'v1', { manifest: odd, instances: [], blobs: new Map() });
  const result = await copier.copy(at(from, 'app:v1'), at(to, 'app:v1'), { noClobber: true });
  assert.equal(result.skipped, 'exists');
  assert.equal(exchanges(to), 'HEAD 200');
});

test('noClobber decides each tag alone, by one HEAD', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', image);
  to.seed('app', 'v1', other);
  to.seed('app', 'taken', other);
  const options = { noClobber: true, additionalTags: ['taken', 'free'] };
  const result = await copier.copy(at(from, 'app:v1'), at(to, 'app:v1'), options);
  assert.deepEqual([result.skipped, result.digest], [null, image.manifest.digest]);
  assert.deepEqual(
    ['v1', 'taken', 'free'].map((tag) => to.manifest('app', tag)?.digest),
    [other, other, image].map(({ manifest }) => manifest.digest),
  );
  for (const tag of ['v1', 'taken', 'free'])
    assert.equal(to.count({ method: 'HEAD', path: new RegExp(`/manifests/${tag}$`) }), 1, tag);
  from.reset();
  to.reset();
  assert.equal((await copier.copy(at(from, 'app:v1'), at(to, 'app:v1'), options)).skipped, 'exists');
  assert.equal(exchanges(to), 'HEAD 200, HEAD 200, HEAD 200');
  assert.equal(from.count(), 0);
});

test('noClobber writes no tag where one of several cannot be looked at', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', image);
  to.behave({ match: { method: 'HEAD', path: /manifests\/latest$/ }, status: 403 });
  const options = { noClobber: true, additionalTags: ['latest'] };
  await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'app:v1'), options), {
    kind: 'denied',
    message: `cannot tell whether tag latest of ${at(to, 'app:v1')} exists, so nothing was written`,
  });
  assert.deepEqual(to.tags('app'), []);
});

for (const status of [400, 401, 403, 405, 406, 500, 503]) {
  test(`pushes where the look at the tag is answered by ${status}, for the push tells more`, async (t) => {
    await using from = await startRegistry();
    await using to = await startRegistry();
    await using copier = new TestCopier(await openHome(t), { retryTimes: 1 });
    from.seed('app', 'v1', image);
    to.behave({ match: { when: isLook }, status });
    await copier.copy(at(from, 'app:v1'), at(to, 'app:v1'), { additionalTags: ['latest'] });
    for (const tag of ['v1', 'latest']) assert.deepEqual(to.manifest('app', tag), image.manifest);
  });
}

test('a manifest whose answer was lost is not reported as refused by an immutable tag', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry({ immutableTags: true });
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', image);
  to.behave({ match: { method: 'PUT', path: /manifests/, times: 1 }, loseAnswer: 'reset' });
  const result = await copier.copy(at(from, 'app:v1'), at(to, 'app:v1'));
  assert.deepEqual([result.skipped, result.digest], [null, image.manifest.digest]);
  assert.equal(to.count({ method: 'PUT', path: /manifests/ }), 2);
});

test('an immutable tag that holds another image is not replaced, and the error says so', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry({ immutableTags: true });
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', image);
  to.seed('app', 'v1', other);
  await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'app:v1')), {
    code: 'ERR_TAG_IMMUTABLE',
    hint: 'use another tag, or --no-clobber to leave tags that exist as they are',
  });
  assert.equal(to.manifest('app', 'v1')?.digest, other.manifest.digest);
});

test('tags that hold the image are not written again, with additionalTags or force', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry({ immutableTags: true });
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', image);
  const copy = async (additionalTags: readonly string[], force = false): ReturnType<typeof copier.copy> =>
    await copier.copy(at(from, 'app:v1'), at(to, 'app:v1'), { additionalTags, force });
  await copy(['latest']);
  to.reset();
  assert.equal((await copy(['latest'])).skipped, 'same');
  assert.deepEqual(to.requests.map(({ method }) => method).toSorted(), ['GET', 'HEAD']);
  to.reset();
  const forced = await copy(['latest'], true);
  assert.deepEqual([forced.skipped, forced.blobs.reused], [null, 4]);
  assert.equal(to.count({ method: 'PUT' }), 0);
  to.reset();
  const further = await copy(['latest', 'stable']);
  assert.deepEqual([further.skipped, further.blobs.total, further.manifests], [null, 0, 1]);
  assert.deepEqual(writes(to), ['PUT /v2/app/manifests/stable']);
  assert.equal(to.count(), 4, 'no blob is asked for');
  assert.deepEqual(to.manifest('app', 'stable'), image.manifest);
});

for (const [what, source] of [
  ['an image', image],
  ['an index', index],
] as const) {
  test(`a tag for ${what} that the repository has costs three requests, and no look at a blob`, async (t) => {
    await using registry = await startRegistry();
    await using copier = new TestCopier(await openHome(t));
    registry.seed('app', 'v1', source);
    registry.seed('app', 'v2', other);
    const result = await copier.copy(at(registry, 'app:v1'), at(registry, 'app:v2'));
    assert.deepEqual([result.skipped, result.blobs.total, result.bytes.fetched], [null, 0, 0]);
    assert.deepEqual(registry.requests.map(({ method }) => method).toSorted(), ['GET', 'GET', 'PUT']);
    assert.deepEqual(registry.manifest('app', 'v2'), source.manifest);
  });
}

test('a registry that refuses a tag for a manifest it has is sent what it lacks', async (t) => {
  await using registry = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  registry.seed('app', 'v1', image);
  const refusal = JSON.stringify({ errors: [{ code: 'MANIFEST_BLOB_UNKNOWN', message: 'blob unknown' }] });
  registry.behave({ match: { method: 'PUT', path: /manifests/, times: 1 }, status: 400, body: refusal });
  const result = await copier.copy(at(registry, 'app:v1'), at(registry, 'app:v2'));
  assert.equal(result.blobs.reused, 4);
  assert.deepEqual(registry.manifest('app', 'v2'), image.manifest);
});

test('force looks at every blob, inside one repository too', async (t) => {
  await using registry = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  registry.seed('app', 'v1', image);
  const result = await copier.copy(at(registry, 'app:v1'), at(registry, 'app:v2'), { force: true });
  assert.equal(result.blobs.reused, 4);
});

/** Copies `app:v1` under three tags, with a copier of its own. */
async function copyWithTags(home: TestHome, from: TestRegistry, to: TestRegistry): Promise<CopyResult> {
  await using copier = new TestCopier(home);
  return await copier.copy(at(from, 'app:v1'), at(to, 'app:v1'), { additionalTags: ['v1.0', 'latest'] });
}

const TAGS = ['v1', 'v1.0', 'latest'];

test('a registry that writes several tags at once gets one PUT for all of them', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry({ tagsAtOnce: true });
  from.seed('app', 'v1', image);
  const home = await openHome(t);
  await copyWithTags(home, from, to);
  const put = `PUT /v2/app/manifests/${image.manifest.digest}?tag=v1&tag=v1.0&tag=latest`;
  assert.deepEqual(writes(to).slice(-1), [put]);
  assert.equal(to.count({ method: 'PUT', path: /manifests/ }), 1);
  for (const tag of TAGS) assert.deepEqual(to.manifest('app', tag), image.manifest);
  to.reset();
  assert.equal((await copyWithTags(home, from, to)).skipped, 'same');
  assert.deepEqual(writes(to), []);
});

test('tags that are there already are not written again, and one that is left goes by itself', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry({ tagsAtOnce: true });
  from.seed('app', 'v1', image);
  for (const tag of ['v1', 'latest']) to.seed('app', tag, image);
  await copyWithTags(await openHome(t), from, to);
  assert.deepEqual(writes(to), ['PUT /v2/app/manifests/v1.0']);
});

for (const [what, misbehave] of [
  ['ignores', () => undefined],
  ['refuses', (to: TestRegistry) => void to.behave({ match: { path: /\?tag=/ }, status: 400 })],
] as const) {
  test(`a registry that ${what} several tags is asked once for them, and by no later run`, async (t) => {
    await using from = await startRegistry();
    await using to = await startRegistry();
    from.seed('app', 'v1', image);
    misbehave(to);
    const home = await openHome(t);
    await copyWithTags(home, from, to);
    assert.equal(to.count({ path: /\?tag=/ }), 1);
    assert.equal(to.count({ method: 'PUT', path: /manifests/ }), 1 + TAGS.length);
    for (const tag of TAGS) assert.deepEqual(to.manifest('app', tag), image.manifest);

    for (const tag of TAGS) to.remove('app', tag);
    to.reset();
    await copyWithTags(home, from, to);
    assert.equal(to.count({ path: /\?tag=/ }), 0);
    assert.equal(to.count({ method: 'PUT', path: /manifests/ }), TAGS.length);
  });
}

test('tags that the answer does not name are written one by one', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry({ tagsAtOnce: true });
  from.seed('app', 'v1', image);
  to.behave({ match: { path: /\?tag=/ }, headers: { 'oci-tag': 'v1.0' } });
  await copyWithTags(await openHome(t), from, to);
  assert.deepEqual(writes(to).slice(-2).toSorted(), ['PUT /v2/app/manifests/latest', 'PUT /v2/app/manifests/v1']);
});

test('a single tag is written by its name, and a blob that is missing is sent before several tags are', async (t) => {
  await using to = await startRegistry({ tagsAtOnce: true });
  await using copier = new TestCopier(await openHome(t));
  to.seed('app', 'v1', image);
  await copier.copy(at(to, 'app:v1'), at(to, 'app:v2'));
  assert.deepEqual(writes(to), ['PUT /v2/app/manifests/v2']);
  to.reset();
  to.remove('app', [...image.blobs.keys()][0] ?? '');
  await using from = await startRegistry();
  from.seed('app', 'v1', image);
  const result = await copier.copy(at(from, 'app:v1'), at(to, 'app:v1'), { additionalTags: ['v3', 'v4'] });
  assert.equal(result.blobs.copied, 1);
  assert.equal(to.count({ method: 'PUT', path: /manifests/ }), 2);
  for (const tag of ['v3', 'v4']) assert.deepEqual(to.manifest('app', tag), image.manifest);
});

test('a manifest with a sha512 digest keeps that digest under its tag', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry({ tagsAtOnce: true });
  await using copier = new TestCopier(await openHome(t));
  const digest = digestOf(image.manifest.bytes, 'sha512');
  from.seed('app', undefined, { ...image, manifest: { ...image.manifest, digest } });
  await copier.copy(at(from, `app@${digest}`), at(to, 'app:v1'));
  assert.equal(to.manifest('app', 'v1')?.digest, digest);
});

function isLook({ method, path }: RequestRecord): boolean {
  return method !== 'PUT' && path.includes('/manifests/');
}

function writes(registry: TestRegistry): readonly string[] {
  return registry.requests
    .filter(({ method }) => method !== 'GET' && method !== 'HEAD')
    .map(({ method, path }) => `${method} ${path}`);
}
