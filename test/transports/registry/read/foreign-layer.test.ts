import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { MediaType } from '../../../../src/manifest/media-types.ts';
import type { BlobInfo } from '../../../../src/contract/blob-info.ts';
import { randomBytes } from '../../../support/images.ts';
import { startRegistry, type TestRegistry } from '../../../support/registry.ts';
import { exchanges, infoOf, openAccess, sourceAt } from '../../../support/registry-transport.ts';
import { readersOf } from '../../../support/memory-accessor.ts';

const blob = randomBytes('foreign', 300_000);

function foreign(...urls: readonly string[]): BlobInfo {
  return { ...infoOf(blob), mediaType: MediaType.ociForeignLayerGzip, urls };
}

function urlIn(registry: TestRegistry): string {
  return `${registry.url}/v2/layers/blobs/${infoOf(blob).digest}`;
}

test('resumes a foreign layer that is cut at its own URL', async () => {
  await using registry = await startRegistry();
  await using elsewhere = await startRegistry();
  elsewhere.seedBlob('layers', blob);
  elsewhere.behave({ match: { path: /blobs/, times: 2 }, cutAfterBytes: 100_000 });
  await using access = openAccess();
  const source = await sourceAt(access, registry, 'app:v1');
  const { stream } = await source.getBlob(foreign(`${elsewhere.url}/none`, urlIn(elsewhere)));
  assert.deepEqual(await buffer(stream), blob);
  assert.equal(registry.count(), 0);
  const asked = elsewhere.requests.map(({ path, status }) => `${path.split('/')[1]} ${status}`);
  assert.deepEqual(asked, ['none 404', 'v2 200', 'v2 206', 'v2 206'], 'the URL that answered is asked for the rest');
});

test('resumes at another URL of a foreign layer where the first does not answer any more', async () => {
  await using registry = await startRegistry();
  await using elsewhere = await startRegistry();
  await using mirror = await startRegistry();
  for (const place of [elsewhere, mirror]) place.seedBlob('layers', blob);
  elsewhere.behave({ match: { times: 1 }, cutAfterBytes: 100_000 });
  elsewhere.behave({ status: 404 });
  await using access = openAccess();
  const source = await sourceAt(access, registry, 'app:v1');
  const { stream } = await source.getBlob(foreign(urlIn(elsewhere), urlIn(mirror)));
  assert.deepEqual(await buffer(stream), blob);
  assert.equal(exchanges(mirror), 'GET 206');
});

test('waits for no rate limit at a foreign URL, but asks the next place', async () => {
  await using registry = await startRegistry();
  await using elsewhere = await startRegistry();
  await using mirror = await startRegistry();
  mirror.seedBlob('layers', blob);
  elsewhere.behave({ status: 429, headers: { 'retry-after': '3600' } });
  const waits: number[] = [];
  await using access = openAccess({ policy: { sleep: async (ms) => void waits.push(ms) } });
  const source = await sourceAt(access, registry, 'app:v1');
  const { stream } = await source.getBlob(foreign(urlIn(elsewhere), urlIn(mirror)));
  assert.deepEqual(await buffer(stream), blob);
  await assert.rejects(source.getBlob(foreign(urlIn(elsewhere))), { code: 'ERR_FOREIGN_LAYER_MISSING' });
  assert.deepEqual([elsewhere.count(), waits], [1, []], 'nobody waits until it may be asked again');
});

test('tries a foreign layer once more after a passing failure', async () => {
  await using registry = await startRegistry();
  await using elsewhere = await startRegistry();
  elsewhere.seedBlob('layers', blob);
  elsewhere.behave({ match: { times: 1 }, status: 503 });
  await using access = openAccess();
  const source = await sourceAt(access, registry, 'app:v1');
  assert.deepEqual(await buffer((await source.getBlob(foreign(urlIn(elsewhere)))).stream), blob);
});

const besideUs = ['127.0.0.2', 'localhost', '[::1]', '169.254.169.254', '10.0.0.1', '192.168.0.1', '[fd12::1]'];
for (const host of besideUs) {
  test(`does not follow a foreign URL to ${host}, or a redirect there`, async () => {
    await using registry = await startRegistry();
    await using access = openAccess();
    const source = await sourceAt(access, registry, 'app:v1');
    await assert.rejects(source.getBlob(foreign(`http://${host}:9/layer`)), (error) => {
      assert.ok(error instanceof Error && error.cause instanceof Error);
      assert.match(error.message, /^foreign layer sha256:\w+ is neither at its own URLs nor in the registry$/);
      assert.match(error.cause.message, /:9\/layer is a (?:loopback|link-local|private) address/);
      return true;
    });
    registry.reset();
    const location = `http://${host}:9/layer`;
    registry.behave({ match: { path: /moved/ }, status: 302, headers: { location } });
    await assert.rejects(source.getBlob(foreign(`${registry.url}/moved`)), { code: 'ERR_FOREIGN_LAYER_MISSING' });
  });
}

test('reads a layer of an ordinary type, and a config, from the registry alone, whatever URLs they name', async () => {
  await using registry = await startRegistry();
  await using elsewhere = await startRegistry();
  registry.seedBlob('app', blob);
  await using access = openAccess();
  const source = await sourceAt(access, registry, 'app:v1');
  for (const mediaType of [MediaType.ociLayerGzip, MediaType.ociConfig, undefined]) {
    const info = { ...foreign(urlIn(elsewhere)), mediaType };
    assert.deepEqual(await buffer((await source.getBlob(info)).stream), blob);
    for await (const part of readersOf(source.getBlobAt(info, [{ offset: 10, length: 5 }])))
      assert.deepEqual(await buffer(part), blob.subarray(10, 15));
  }
  assert.equal(elsewhere.count(), 0);
});
