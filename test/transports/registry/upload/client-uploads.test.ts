import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_CREDENTIALS } from '../../../../src/auth/credential-search.ts';
import { digestOf } from '../../../../src/digest/digest.ts';
import type { RegistryClient, UploadLocation } from '../../../../src/transports/registry/client.ts';
import { RegistryError } from '../../../../src/transports/registry/registry-error.ts';
import { selfSignedCertificate } from '../../../support/certificate.ts';
import { randomBytes } from '../../../support/images.ts';
import { writeAuthority } from '../../../support/certificate-files.ts';
import { startLeavingRegistry as startRegistry } from '../../../support/registry.ts';
import { clientOf, openAccess } from '../../../support/registry-transport.ts';

const blob = randomBytes('client', 1000);
const digest = digestOf(blob);
const UPLOADS = /\/blobs\/uploads\//;

async function open(client: RegistryClient): Promise<UploadLocation> {
  const upload = await client.startUpload();
  assert.ok(upload !== 'mounted');
  return upload;
}

test('uploads by POST, PATCH and PUT, wherever the Location leads (behaviours 58 and 63)', async () => {
  for (const locations of ['relative', 'absolute', 'with-query', 'other-origin'] as const) {
    await using registry = await startRegistry({ locations });
    await using access = openAccess();
    const client = await clientOf(access, registry, 'app');
    const half = await client.patchUpload(await open(client), blob.subarray(0, 500));
    await client.closeUpload(half, digest, blob.subarray(500));
    assert.deepEqual(registry.blob('app', digest), blob, locations);
    assert.equal(registry.requests[0]?.headers['content-length'], '0');
  }
});

test('appends the digest to the query of the Location, which stays as it is signed (behaviour 58)', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  const client = await clientOf(access, registry, 'app');
  const state = '_state=a%2Bb+c%2F%3D%3D&empty=';
  registry.behave({
    match: { method: 'POST' },
    status: 202,
    headers: { location: `/v2/app/blobs/uploads/1?${state}` },
  });
  registry.behave({ match: { method: 'PUT' }, status: 201 });
  await client.closeUpload(await open(client), digest, blob);
  const appended = `digest=${encodeURIComponent(digest)}`;
  assert.equal(registry.requests[1]?.path, `/v2/app/blobs/uploads/1?${state}&${appended}`);
  await client.closeUpload({ url: new URL('/v2/app/blobs/uploads/1', registry.url) }, digest, blob);
  assert.equal(registry.requests[2]?.path, `/v2/app/blobs/uploads/1?${appended}`);
});

test('continues where the last answer says, and stays where it says nothing', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  const client = await clientOf(access, registry, 'app');
  const first = { url: new URL('/v2/app/blobs/uploads/1', registry.url) };
  const cases: readonly [location: string | undefined, path: string][] = [
    ['/v2/app/blobs/uploads/2?x=1', '/v2/app/blobs/uploads/2?x=1'],
    ['3', '/v2/app/blobs/uploads/3'],
    [undefined, '/v2/app/blobs/uploads/1'],
  ];
  for (const status of [200, 201, 202, 204]) {
    for (const [location, path] of cases) {
      const takeBack = registry.behave({ status, headers: { location }, afterRequestBytes: Infinity });
      const next = await client.patchUpload(first, blob);
      assert.equal(next.url.href, `${registry.url}${path}`);
      takeBack();
    }
  }
});

test('resolves a relative Location where the answer came from, after redirects', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  const client = await clientOf(access, registry, 'app');
  const location = `${registry.storageUrl}/v2/app/blobs/uploads/`;
  registry.behave({ match: { method: 'POST', times: 1 }, status: 307, headers: { location } });
  const { url } = await open(client);
  assert.equal(url.origin, registry.storageUrl);
});

test('refuses an upload without a Location that can be used', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  const client = await clientOf(access, registry, 'app');
  for (const location of [undefined, '', ' ', 'ftp://storage.test/1', 'https://']) {
    const takeBack = registry.behave({ headers: { location } });
    await assert.rejects(client.startUpload(), { code: 'ERR_UPLOAD_LOCATION', side: 'destination' });
    takeBack();
  }
});

test('asks its own host by https, although it may believe that it is reached by http', async (t) => {
  const certificate = selfSignedCertificate();
  await using registry = await startRegistry({ tls: certificate });
  await using access = openAccess();
  const client = await clientOf(access, registry, 'app', {
    plainHttp: false,
    tls: { caFile: await writeAuthority(t, certificate.cert) },
  });
  const { port } = new URL(registry.url);
  for (const host of [`127.0.0.1:${port}`, '127.0.0.1']) {
    const location = `http://${host}/v2/app/blobs/uploads/1?_state=x`;
    const takeBack = registry.behave({ match: { method: 'POST' }, headers: { location } });
    assert.equal((await open(client)).url.href, `${registry.url}/v2/app/blobs/uploads/1?_state=x`);
    takeBack();
  }
  registry.behave({ headers: { location: 'http://other.test/1' } });
  assert.equal((await open(client)).url.href, 'http://other.test/1');
});

test('sends no credentials to an upload on another origin (behaviour 44)', async () => {
  await using registry = await startRegistry({
    locations: 'other-origin',
    auth: { kind: 'basic', username: 'anna', password: 'secret' },
  });
  await using access = openAccess();
  const client = await clientOf(access, registry, 'app', {
    credentials: { ...NO_CREDENTIALS, credentials: { kind: 'basic', username: 'anna', password: 'secret' } },
  });
  await client.closeUpload(await open(client), digest, blob);
  assert.deepEqual(registry.blob('app', digest), blob);
  assert.deepEqual(
    registry.requests.map(({ server, authorization }) => [server, authorization]),
    [
      ['registry', false],
      ['registry', true],
      ['storage', false],
    ],
  );
});

test('asks for a mount with both names, and says whether it was granted (behaviour 67)', async () => {
  await using registry = await startRegistry();
  registry.seedBlob('team/base', blob);
  await using access = openAccess();
  const client = await clientOf(access, registry, 'app');
  assert.equal(await client.startUpload({ mount: { digest, from: 'team/base' } }), 'mounted');
  assert.equal(registry.requests[0]?.path, `/v2/app/blobs/uploads/?mount=${digest}&from=team%2Fbase`);
  const declined = await client.startUpload({ mount: { digest, from: 'empty' } });
  assert.ok(declined !== 'mounted');
  registry.settings.mount = 400;
  await assert.rejects(client.startUpload({ mount: { digest, from: 'team/base' } }), RegistryError);
});

test('reads how far an upload came, and takes 0-0 for nothing (behaviour 65)', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  const client = await clientOf(access, registry, 'app');
  const upload = await client.patchUpload(await open(client), blob);
  assert.deepEqual(await client.uploadStatus(upload), { offset: 1000, upload });
  const cases: readonly [range: string | undefined, offset: number][] = [
    ['0-0', 0],
    ['0-41', 42],
    ['bytes=0-41', 42],
    ['5-41', 0],
    ['nonsense', 0],
    [undefined, 0],
  ];
  for (const [range, offset] of cases) {
    const takeBack = registry.behave({ headers: { range } });
    const status = await client.uploadStatus(upload);
    assert.deepEqual(typeof status === 'object' && status.offset, offset, range);
    takeBack();
  }
  registry.expireSessions();
  assert.equal(await client.uploadStatus(upload), 'gone');
  registry.behave({ match: { method: 'GET' }, status: 405 });
  assert.equal(await client.uploadStatus(upload), 'unknown');
});

test('lets go of an upload, and says whether that was refused', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  const client = await clientOf(access, registry, 'app');
  const upload = await open(client);
  await client.cancelUpload(upload);
  assert.equal(registry.sessions.length, 0);
  for (const [status, answer] of [
    [404, 'done'],
    [401, 'refused'],
    [416, 'refused'],
    [500, 'refused'],
  ] as const) {
    const takeBack = registry.behave({ match: { path: UPLOADS }, status });
    registry.reset();
    assert.equal(await client.cancelUpload(upload), answer);
    assert.equal(registry.count({ method: 'DELETE' }), 1);
    takeBack();
  }
  await assert.rejects(client.cancelUpload(upload, { signal: AbortSignal.abort() }), { name: 'AbortError' });
});
