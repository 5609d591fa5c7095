import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../src/digest/digest.ts';
import { listTags, type ImgcopyError } from '../../src/index.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startRegistry, type Rule } from '../support/registry.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const layer = randomBytes('answers', 2000);
const image = buildImage({ layers: [layer] });
const login = { username: 'anna', password: 'secret' };
const MANIFEST = { method: 'GET', path: /\/manifests\// };
const TOKEN = { path: /^\/token/ };
const TAGS = { path: /\/tags\/list/ };

const breaks: Readonly<Record<string, Rule>> = {
  'is cut': { cutAfterBytes: 20 },
  'falls silent': { stallAfterBytes: 20 },
  'comes a byte at a time': { dripMs: 20 },
};

for (const [how, rule] of Object.entries(breaks)) {
  test(`asks again for a manifest, a token and a refusal whose body ${how}`, async (t) => {
    await using from = await startRegistry({ auth: { kind: 'bearer', ...login } });
    await using to = await startRegistry();
    await using copier = new TestCopier(await openHome(t), { timeoutMs: 200, endpoint: login });
    from.seed('app', 'v1', image);
    for (const match of [MANIFEST, TOKEN]) from.behave({ match: { ...match, times: 1 }, ...rule });
    await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
    assert.equal(to.manifest('copy', 'v1')?.digest, image.manifest.digest);
    assert.ok(from.count(TOKEN) === 2 && from.count({ ...MANIFEST, when: ({ status }) => status === 200 }) === 2);
  });

  test(`gives up a manifest whose body ${how} every time`, async (t) => {
    await using from = await startRegistry();
    await using to = await startRegistry();
    await using copier = new TestCopier(await openHome(t), { timeoutMs: 100, retryTimes: 1 });
    from.seed('app', 'v1', image);
    from.behave({ match: MANIFEST, ...rule });
    await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'copy:v1')), { side: 'source' });
    assert.equal(from.count(MANIFEST), 2);
    assert.deepEqual(to.tags('copy'), []);
  });
}

test('asks again for a list of tags whose body is cut', async (t) => {
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  registry.behave({ match: { ...TAGS, times: 1 }, cutAfterBytes: 5 });
  const { env } = await openHome(t);
  const tags = [];
  for await (const tag of listTags(at(registry, 'app'), { env, endpoint: { plainHttp: true }, retryDelayMs: 1 }))
    tags.push(tag);
  assert.deepEqual(tags, ['v1']);
  assert.equal(registry.count(TAGS), 2);
});

const troubles: Readonly<Record<string, Rule>> = {
  'never ends': { endless: true },
  'is cut': { cutAfterBytes: 3 },
  'falls silent': { stallAfterBytes: 3 },
  'comes a byte at a time': { dripMs: 50 },
};

for (const [how, rule] of Object.entries(troubles)) {
  test(`a 403 whose body ${how} is a 403`, async (t) => {
    await using from = await startRegistry();
    await using to = await startRegistry();
    await using copier = new TestCopier(await openHome(t), { timeoutMs: 200 });
    from.behave({ match: MANIFEST, status: 403, body: 'no '.repeat(1000), ...rule });
    await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'copy:v1')), { kind: 'denied', side: 'source' });
    assert.equal(from.count(MANIFEST), 1);
  });
}

test('reads what a proxy compresses although the request forbids it', async (t) => {
  const { env } = await openHome(t);
  for (const encoding of ['gzip', 'deflate', 'br', 'zstd'] as const) {
    await using from = await startRegistry({ auth: { kind: 'bearer', ...login } });
    await using to = await startRegistry();
    await using copier = new TestCopier({ path: '', env }, { cache: false, endpoint: login });
    from.seed('app', 'v1', image);
    for (const match of [MANIFEST, TOKEN, TAGS]) from.behave({ match, encoding });
    await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
    assert.deepEqual(to.manifest('copy', 'v1')?.bytes, image.manifest.bytes);
    const tags = [];
    for await (const tag of listTags(at(from, 'app'), { env, endpoint: { plainHttp: true, ...login } })) tags.push(tag);
    assert.deepEqual(tags, ['v1']);
    from.behaveWell();
    from.behave({
      match: MANIFEST,
      status: 404,
      body: '{"errors":[{"code":"NAME_UNKNOWN","message":"gone"}]}',
      encoding,
    });
    await assert.rejects(copier.copy(at(from, 'gone:v1'), at(to, 'copy:v2')), (error: Error) =>
      /NAME_UNKNOWN: gone/.test((error.cause as Error | undefined)?.message ?? error.message),
    );
    assert.ok(from.requests.every(({ headers }) => headers['accept-encoding'] === 'identity'));
    assert.ok(to.requests.every(({ headers }) => headers['accept-encoding'] === 'identity'));
  }
});

test('takes a blob by its digest, whatever is said of its encoding, and names that where the bytes are wrong', async (t) => {
  const BLOB = { method: 'GET', path: new RegExp(digestOf(layer)) };
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using other = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', image);
  from.behave({ match: BLOB, headers: { 'content-encoding': 'gzip' } });
  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
  assert.deepEqual(to.blob('copy', digestOf(layer)), layer);
  from.behaveWell();
  from.behave({ match: BLOB, encoding: 'gzip' });
  await assert.rejects(copier.copy(at(from, 'app:v1'), at(other, 'copy:v1')), (error: ImgcopyError) => {
    assert.equal(error.kind, 'integrity');
    assert.match(error.hint ?? '', /Content-Encoding: gzip/);
    return true;
  });
  assert.deepEqual(other.tags('copy'), []);
});

test('names the request for a token where that is what fails', async (t) => {
  await using from = await startRegistry({ auth: { kind: 'bearer' } });
  await using copier = new TestCopier(await openHome(t), { retryTimes: 0, endpoint: { plainHttp: false } });
  from.seed('app', 'v1', buildImage({ layers: { count: 1, size: 1000 } }));
  from.behave({ match: { path: /token/ }, cutAfterBytes: 5 });
  await assert.rejects(copier.copy(at(from, 'app:v1'), `docker://${from.host}/copy:v1`), {
    code: 'ERR_CONNECTION_LOST',
    request: `GET ${from.url}/token`,
  });
});
