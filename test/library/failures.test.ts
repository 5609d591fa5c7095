import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestHex, digestOf } from '../../src/digest/digest.ts';
import { isAbort, type ImgcopyError } from '../../src/errors/imgcopy-error.ts';
import { buildImage, buildIndex, randomBytes } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const MiB = 1024 * 1024;
const small = randomBytes('small', 2000);
const large = randomBytes('large', 5 * MiB);

/** The message of an error and of all its causes. */
function told(error: unknown): string {
  const lines: string[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause) lines.push(cause.message);
  return lines.join('\n');
}

for (const [what, layer] of Object.entries({ 'a small layer': small, 'a large layer': large })) {
  for (const into of ['registry', 'dir'] as const) {
    test(`fails on wrong bytes of ${what}, names both digests and leaves nothing in a ${into} (behaviour 14)`, async (t) => {
      const home = await openHome(t);
      await using from = await startRegistry();
      await using to = await startRegistry();
      await using copier = new TestCopier(home);
      from.seed('app', 'v1', buildImage({ layers: [layer] }));
      const wrong = Buffer.from(layer);
      wrong[10] = (wrong[10] ?? 0) ^ 1;
      const digest = from.seedBlob('app', wrong, digestOf(layer));
      const directory = join(home.path, 'image');
      const destination = into === 'dir' ? `dir:${directory}` : at(to, 'copy:v1');
      await assert.rejects(copier.copy(at(from, 'app:v1'), destination), (error: ImgcopyError) => {
        assert.deepEqual([error.code, error.kind], ['ERR_CONTENT_MISMATCH', 'integrity']);
        assert.ok(told(error).includes(digest) && told(error).includes(digestOf(wrong)), told(error));
        return true;
      });
      assert.equal(to.blob('copy', digest), undefined);
      assert.deepEqual(to.tags('copy'), []);
      assert.deepEqual(to.sessions, [], 'no upload stays open');
      const left = into === 'dir' ? await readdir(directory) : [];
      assert.ok(!left.includes(digestHex(digest)) && !left.includes('manifest.json'), left.join());
    });
  }
}

test('reports the first failure in time, and ends the other transfers (behaviour 18)', async (t) => {
  const layers = Array.from({ length: 4 }, (_, index) => randomBytes(`layer ${index}`, 6 * MiB));
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t), { retryTimes: 0 });
  from.seed('app', 'v1', buildImage({ layers }));
  const [failing, ...others] = layers.map((layer) => digestOf(layer));
  const isBlob = (digest = ''): RegExp => new RegExp(`/blobs/${digest}`);
  for (const digest of others) from.behave({ match: { method: 'GET', path: isBlob(digest) }, stallAfterBytes: MiB });
  from.behave({
    match: { method: 'GET', path: isBlob(failing) },
    hold: from.until(() => from.count({ path: /blobs/, when: ({ bytesSent }) => bytesSent >= MiB }) === others.length),
    status: 403,
  });
  await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'copy:v1')), {
    code: 'ERR_DENIED',
    message: `copying layer ${failing} to ${at(to, 'copy:v1')}`,
  });
  await Promise.all([from.idle(), to.idle()]);
  for (const digest of others) assert.equal(from.select({ path: isBlob(digest) })[0]?.outcome, 'aborted');
  assert.deepEqual(to.sessions, [], 'no upload stays open');
  assert.deepEqual(to.tags('copy'), []);
});

test('asks the destination for nothing but what it has where the source has no such image (behaviour 34)', async (t) => {
  const home = await openHome(t);
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(home);
  await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'copy:v1')), { kind: 'not-found', side: 'source' });
  assert.ok(to.requests.every(({ method }) => method === 'GET'));
  await assert.rejects(copier.copy(at(from, 'app:v1'), `dir:${home.path}/image`), { kind: 'not-found' });
  assert.deepEqual(await readdir(home.path), [], 'not even a directory is made');
});

test('writes no index when one of its instances fails', async (t) => {
  const images = ['a', 'b'].map((seed) => buildImage({ layers: { count: 1, size: 1000, seed } }));
  const index = buildIndex({ images: images.map((image) => ({ image })) });
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', index);
  const lost = images[1]?.manifest.digest ?? '';
  from.remove('app', lost);
  await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'copy:v1')), { kind: 'not-found', side: 'source' });
  assert.deepEqual(to.tags('copy'), []);
  assert.equal(to.manifest('copy', index.manifest.digest), undefined);
});

test('refuses an index below more than four others', async (t) => {
  let nested = buildIndex({ images: [{ image: buildImage({ layers: [small] }) }] });
  const levels = [nested];
  for (let depth = 1; depth <= 4; depth += 1) levels.push((nested = buildIndex({ images: [{ image: nested }] })));
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  for (const [depth, image] of levels.entries()) from.seed('app', `v${depth}`, image);
  assert.equal((await copier.copy(at(from, 'app:v3'), at(to, 'copy:v3'))).manifests, 5);
  await assert.rejects(copier.copy(at(from, 'app:v4'), at(to, 'copy:v4')), {
    code: 'ERR_INDEX_TOO_DEEP',
    side: 'source',
  });
  assert.deepEqual(to.tags('copy'), ['v3']);
});

test('ends all requests and uploads when it is aborted, and says so as an abort', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', buildImage({ layers: [large, small] }));
  from.behave({ match: { path: new RegExp(`/blobs/${digestOf(large)}`) }, stallAfterBytes: 3 * MiB });
  const controller = new AbortController();
  const copy = copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { signal: controller.signal });
  await to.until(() => to.count({ method: 'PATCH', when: ({ bodyBytes }) => bodyBytes > MiB }) > 0);
  controller.abort();
  await assert.rejects(copy, (error) => isAbort(error));
  await Promise.all([from.idle(), to.idle()]);
  assert.deepEqual(to.sessions, []);
  assert.deepEqual(to.tags('copy'), []);
});
