import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { digestOf } from '../../../src/digest/digest.ts';
import { MANIFEST_ACCEPT, MediaType } from '../../../src/manifest/media-types.ts';
import type { BlobPresence } from '../../../src/transports/registry/client.ts';
import { RegistryError } from '../../../src/transports/registry/registry-error.ts';
import { buildImage, randomBytes } from '../../support/images.ts';
import { startLeavingRegistry as startRegistry } from '../../support/registry.ts';
import { clientOf, openAccess } from '../../support/registry-transport.ts';

const image = buildImage({ layers: { count: 1, size: 1000 } });
const blob = randomBytes('client', 1000);
const digest = digestOf(blob);
const MANIFEST = '/v2/app/manifests/v1';

test('asks for a manifest of any format, and hands it back byte for byte', async () => {
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  await using access = openAccess();
  const client = await clientOf(access, registry, 'app');
  const manifest = await client.getManifest('v1');
  assert.deepEqual(manifest, { ...image.manifest, etag: `"${image.manifest.digest}"` });
  assert.equal(MANIFEST_ACCEPT.length, 7);
  assert.deepEqual(registry.requests[0]?.accept?.split(', '), MANIFEST_ACCEPT);
  assert.equal(registry.requests[0]?.headers['user-agent'], 'imgcopy/test');
});

test('says that a manifest does not exist', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  const client = await clientOf(access, registry, 'app');
  for (const ask of [client.getManifest('v1'), client.headManifest('v1')]) {
    await assert.rejects(ask, (error) => {
      assert.ok(error instanceof RegistryError);
      assert.deepEqual([error.kind, error.status, error.side], ['not-found', 404, 'destination']);
      assert.ok(error.message.includes(`${registry.url}${MANIFEST}: 404`));
      return true;
    });
  }
});

test('refuses a manifest of more than 4 MiB, whether that is announced or not (behaviour 49)', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  const client = await clientOf(access, registry, 'app');
  const large = { status: 200, body: 'x'.repeat(4 * 1024 * 1024 + 2) };
  registry.behave({ match: { times: 1 }, ...large });
  registry.behave({ match: { times: 1 }, ...large, cutAfterBytes: 4 * 1024 * 1024 + 1, how: 'end' });
  for (let count = 2; count > 0; count -= 1)
    await assert.rejects(client.getManifest('v1'), { code: 'ERR_ANSWER_TOO_LARGE', side: 'destination' });
  assert.equal(registry.count(), 2);
});

test('learns from HEAD what a registry says of a manifest, and does without the rest', async () => {
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  await using access = openAccess();
  const client = await clientOf(access, registry, 'app');
  const { digest: found, mediaType } = image.manifest;
  const cases = [
    { rule: {}, head: { digest: found, mediaType } },
    { rule: { headers: { 'docker-content-digest': undefined } }, head: { digest: undefined, mediaType } },
    { rule: { headers: { 'docker-content-digest': 'sha256:../x' } }, head: { digest: undefined, mediaType } },
    { rule: { headers: { 'content-type': undefined } }, head: { digest: found, mediaType: undefined } },
    {
      rule: { headers: { 'content-type': `${MediaType.ociIndex}; charset=utf-8` } },
      head: { digest: found, mediaType: MediaType.ociIndex },
    },
    { rule: { status: 405 }, head: undefined },
  ];
  for (const { rule, head } of cases) {
    const takeBack = registry.behave(rule);
    assert.deepEqual(await client.headManifest('v1'), head && { ...head, etag: `"${found}"` });
    takeBack();
  }
});

test('stores a manifest with its media type, whatever success is called', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  const client = await clientOf(access, registry, 'app');
  registry.settings.checkBlobs = false;
  await client.putManifest('v1', image.manifest);
  assert.deepEqual(registry.manifest('app', 'v1'), image.manifest);
  for (const status of [200, 201, 202, 204]) {
    const takeBack = registry.behave({ status });
    await client.putManifest('v1', image.manifest);
    takeBack();
  }
  registry.behave({ status: 400 });
  await assert.rejects(client.putManifest('v1', image.manifest), RegistryError);
});

test('takes anything but yes and no about a blob for unknown (behaviour 61)', async () => {
  await using registry = await startRegistry();
  registry.seedBlob('app', blob);
  await using access = openAccess({ policy: { retries: 0 } });
  const client = await clientOf(access, registry, 'app');
  const cases: readonly (readonly [rule: { readonly status?: number }, presence: BlobPresence])[] = [
    [{}, { present: true, size: 1000 }],
    [{ status: 404 }, { present: false }],
    ...[401, 403, 405, 400, 429, 500, 503].map((status) => [{ status }, 'unknown'] as const),
  ];
  for (const [rule, presence] of cases) {
    const takeBack = registry.behave({ match: { path: /blobs/ }, ...rule });
    assert.deepEqual(await client.headBlob(digest), presence, JSON.stringify(rule));
    takeBack();
  }
  assert.deepEqual(await client.headBlob(digest, { repository: 'other' }), { present: false });
  assert.equal(registry.requests.at(-1)?.path, `/v2/other/blobs/${digest}`);
});

test('asks for everything as it is, and ignores what an answer says of a blob’s encoding (behaviour 60)', async () => {
  await using registry = await startRegistry();
  registry.seedBlob('app', blob);
  await using access = openAccess();
  const client = await clientOf(access, registry, 'app');
  for (const encoding of [undefined, 'identity', 'gzip']) {
    const takeBack = registry.behave({ headers: { 'content-encoding': encoding } });
    assert.deepEqual(await buffer((await client.getBlob(digest)).body), blob);
    takeBack();
  }
  await client.headBlob(digest);
  await client.startUpload();
  assert.deepEqual(new Set(registry.requests.map(({ headers }) => headers['accept-encoding'])), new Set(['identity']));
});

test('hands the answer to a range on as it is, refusals of the range included', async () => {
  await using registry = await startRegistry();
  registry.seedBlob('app', blob);
  await using access = openAccess();
  const client = await clientOf(access, registry, 'app');
  const ranged = await client.getBlob(digest, { range: 'bytes=10-19' });
  assert.deepEqual([ranged.status, ranged.headers['content-range']], [206, 'bytes 10-19/1000']);
  ranged.body.resume();
  for (const status of [400, 416, 501]) {
    const takeBack = registry.behave({ status });
    const { status: found, body } = await client.getBlob(digest, { range: 'bytes=10-19' });
    body.resume();
    assert.equal(found, status);
    await assert.rejects(client.getBlob(digest), RegistryError);
    takeBack();
  }
  registry.behave({ status: 404 });
  await assert.rejects(client.getBlob(digest, { range: 'bytes=10-19' }), RegistryError);
});
