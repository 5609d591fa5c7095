import assert from 'node:assert/strict';
import { request } from 'node:https';
import { test } from 'node:test';
import { digestOf } from '../../src/digest/digest.ts';
import { selfSignedCertificate } from './certificate.ts';
import { buildArtifact, buildImage, buildIndex, buildSchema1 } from './images.ts';
import { startRegistry, waitsOf } from './registry.ts';

const INDEX = 'application/vnd.oci.image.index.v1+json';
const image = buildImage({ layers: { count: 2, size: 1000 } });
const [layer = digestOf(Buffer.alloc(0))] = [...image.blobs.keys()].slice(1);

test('serves a seeded image by tag and by digest, byte for byte', async () => {
  await using registry = await startRegistry();
  registry.seed('team/app', 'v1', image);
  for (const reference of ['v1', image.manifest.digest]) {
    const answer = await fetch(`${registry.url}/v2/team/app/manifests/${reference}`);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('content-type'), image.manifest.mediaType);
    assert.equal(answer.headers.get('docker-content-digest'), image.manifest.digest);
    assert.deepEqual(Buffer.from(await answer.arrayBuffer()), image.manifest.bytes);
  }
  for (const [digest, bytes] of image.blobs) {
    const answer = await fetch(`${registry.url}/v2/team/app/blobs/${digest}`);
    assert.deepEqual(Buffer.from(await answer.arrayBuffer()), bytes);
  }
});

test('answers HEAD with the size and digest, and without the digest where told', async () => {
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  const blob = await fetch(`${registry.url}/v2/app/blobs/${layer}`, { method: 'HEAD' });
  assert.equal(blob.headers.get('content-length'), '1000');
  const url = `${registry.url}/v2/app/manifests/v1`;
  const named = await fetch(url, { method: 'HEAD' });
  assert.equal(named.headers.get('docker-content-digest'), image.manifest.digest);
  assert.equal(named.headers.get('content-length'), String(image.manifest.bytes.length));
  registry.settings.headDigestHeader = false;
  assert.equal((await fetch(url, { method: 'HEAD' })).headers.get('docker-content-digest'), null);
});

test('says what is unknown, and what is not an endpoint', async () => {
  await using registry = await startRegistry();
  const cases = [
    { path: '/v2/app/manifests/v1', status: 404, code: 'MANIFEST_UNKNOWN' },
    { path: `/v2/app/blobs/${layer}`, status: 404, code: 'BLOB_UNKNOWN' },
    { path: '/v2/app/blobs/sha256:short', status: 400, code: 'DIGEST_INVALID' },
    { path: '/v2/app/blobs/uploads/none', status: 404, code: 'BLOB_UPLOAD_UNKNOWN' },
    { path: '/v2/app/tags/list', status: 404, code: 'NAME_UNKNOWN' },
    { path: '/v2/app/tags/list', method: 'PUT', status: 405, code: 'UNSUPPORTED' },
  ];
  for (const { path, method = 'GET', status, code } of cases) {
    const answer = await fetch(`${registry.url}${path}`, { method });
    const body = (await answer.json()) as { errors: [{ code: string }] };
    assert.deepEqual([answer.status, body.errors[0].code], [status, code]);
  }
  assert.equal((await fetch(`${registry.url}/v2/`)).status, 200);
  assert.equal((await fetch(`${registry.url}/elsewhere`)).status, 404);
});

test('hands out a manifest only where Accept names its type', async () => {
  await using registry = await startRegistry();
  registry.seed('app', 'v1', buildIndex({ images: [{ image }] }));
  const url = `${registry.url}/v2/app/manifests/v1`;
  assert.equal((await fetch(url, { headers: { accept: image.manifest.mediaType } })).status, 404);
  assert.equal((await fetch(url, { headers: { accept: `${image.manifest.mediaType}, ${INDEX};q=0.5` } })).status, 200);
  registry.settings.checkAccept = false;
  assert.equal((await fetch(url, { headers: { accept: image.manifest.mediaType } })).status, 200);
});

test('takes a manifest only when what it names is there', async () => {
  await using registry = await startRegistry();
  const index = buildIndex({ images: [{ image }] });
  const put = async (reference: string, { manifest } = image): Promise<Response> =>
    await fetch(`${registry.url}/v2/app/manifests/${reference}`, {
      method: 'PUT',
      body: Uint8Array.from(manifest.bytes),
      headers: { 'content-type': manifest.mediaType },
    });
  const refused = await put('v1');
  assert.equal(refused.status, 400);
  assert.match(await refused.text(), /MANIFEST_BLOB_UNKNOWN/);
  for (const bytes of image.blobs.values()) registry.seedBlob('app', bytes);
  assert.equal((await put('v1', index)).status, 400);
  assert.equal((await put(image.manifest.digest)).status, 201);
  assert.deepEqual(registry.tags('app'), []);
  assert.equal((await put('v1', index)).headers.get('docker-content-digest'), index.manifest.digest);
  assert.deepEqual(registry.manifest('app', 'v1'), index.manifest);
  assert.equal((await put(index.manifest.digest)).status, 400);
  registry.settings.checkBlobs = false;
  assert.equal((await put('v2', buildIndex({ images: [{ image: index }] }))).status, 201);
});

test('takes the digest of signed schema 1 over its payload', async () => {
  await using registry = await startRegistry();
  const old = buildSchema1({ layers: [Buffer.from('layer'), null], signed: true });
  for (const bytes of old.blobs.values()) registry.seedBlob('app', bytes);
  const answer = await fetch(`${registry.url}/v2/app/manifests/v1`, {
    method: 'PUT',
    body: Uint8Array.from(old.manifest.bytes),
    headers: { 'content-type': old.manifest.mediaType },
  });
  assert.equal(answer.headers.get('docker-content-digest'), old.manifest.digest);
  assert.notEqual(digestOf(old.manifest.bytes), old.manifest.digest);
});

test('deletes tags, manifests and blobs', async () => {
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  registry.seed('app', 'v2', image);
  const drop = async (path: string): Promise<number> =>
    (await fetch(`${registry.url}/v2/app/${path}`, { method: 'DELETE' })).status;
  assert.equal(await drop('manifests/v1'), 202);
  assert.deepEqual(registry.tags('app'), ['v2']);
  assert.equal(await drop(`manifests/${image.manifest.digest}`), 202);
  assert.equal(registry.manifest('app', 'v2'), undefined);
  assert.equal(await drop(`blobs/${layer}`), 202);
  assert.equal(registry.blob('app', layer), undefined);
});

test('lists tags in pages', async () => {
  await using registry = await startRegistry();
  for (const tag of ['c', 'a', 'b']) registry.seed('app', tag, image);
  const first = await fetch(`${registry.url}/v2/app/tags/list?n=2`);
  assert.deepEqual(await first.json(), { name: 'app', tags: ['a', 'b'] });
  const [, next] = /^<(.+)>; rel="next"$/.exec(first.headers.get('link') ?? '') ?? [];
  const second = await fetch(`${registry.url}${next}`);
  assert.deepEqual(await second.json(), { name: 'app', tags: ['c'] });
  assert.equal(second.headers.get('link'), null);
});

test('lists referrers by artifact type, and has no such API where told', async () => {
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  const signature = buildArtifact({ artifactType: 'a/signature', files: { s: 'x' }, subject: image.manifest });
  const list = buildArtifact({ artifactType: 'a/sbom', files: { b: 'y' }, subject: image.manifest });
  registry.seed('app', undefined, signature);
  for (const bytes of list.blobs.values()) registry.seedBlob('app', bytes);
  const put = await fetch(`${registry.url}/v2/app/manifests/${list.manifest.digest}`, {
    method: 'PUT',
    body: Uint8Array.from(list.manifest.bytes),
    headers: { 'content-type': list.manifest.mediaType },
  });
  assert.equal(put.headers.get('oci-subject'), image.manifest.digest);
  const url = `${registry.url}/v2/app/referrers/${image.manifest.digest}`;
  const all = (await (await fetch(url)).json()) as { manifests: { digest: string }[] };
  assert.deepEqual(
    all.manifests.map((referrer) => referrer.digest),
    [signature.manifest.digest, list.manifest.digest],
  );
  const filtered = await fetch(`${url}?artifactType=a/sbom`);
  assert.equal(filtered.headers.get('oci-filters-applied'), 'artifactType');
  assert.equal(((await filtered.json()) as { manifests: unknown[] }).manifests.length, 1);
  registry.settings.referrers = false;
  assert.equal((await fetch(url)).status, 404);
});

test('records requests, connections, what was under way at once, and the chain of waits', async () => {
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  await (await fetch(`${registry.url}/v2/app/manifests/v1`, { headers: { accept: '*/*' } })).text();
  await registry.idle();
  const [record] = registry.requests;
  assert.deepEqual(
    [record?.method, record?.path, record?.status, record?.accept, record?.authorization, record?.outcome],
    ['GET', '/v2/app/manifests/v1', 200, '*/*', false, 'complete'],
  );
  assert.equal(record?.bytesSent, image.manifest.bytes.length);
  assert.equal(registry.connections, 1);
  registry.reset();
  assert.equal(registry.count(), 0);
  const gate = Promise.withResolvers<undefined>();
  registry.behave({ hold: gate.promise });
  const both = [1, 2].map(async () => await fetch(`${registry.url}/v2/app/blobs/${layer}`));
  await registry.until(() => registry.count({ method: 'GET', path: /\/blobs\// }) === 2);
  gate.resolve(undefined);
  for (const answer of await Promise.all(both)) await answer.text();
  await (await fetch(`${registry.url}/v2/`)).text();
  await registry.idle();
  assert.equal(registry.peak({ path: /\/blobs\// }), 2);
  assert.equal(waitsOf(registry.requests), 2);
});

test('serves https with a certificate made in code', async () => {
  const tls = selfSignedCertificate(['127.0.0.1']);
  await using registry = await startRegistry({ tls });
  assert.match(registry.url, /^https:/);
  const status = await new Promise((resolve, reject) => {
    const call = request(`${registry.url}/v2/`, { ca: tls.cert, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    call.on('error', reject).end();
  });
  assert.equal(status, 200);
});
