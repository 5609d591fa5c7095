import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContentMismatchError } from '../../../src/digest/digest.ts';
import { MissingBlobsError } from '../../../src/contract/errors.ts';
import { RegistryError } from '../../../src/transports/registry/registry-error.ts';
import { currentDigest } from '../../support/current-digest.ts';
import { buildImage, buildIndex, buildSchema1, randomBytes } from '../../support/images.ts';
import { startRegistry } from '../../support/registry.ts';
import { destinationAt, exchanges, infoOf, openAccess, streamOf } from '../../support/registry-transport.ts';

const image = buildImage({ layers: { count: 1, size: 1000 } });
const index = buildIndex({ images: [{ image }] });
const blob = randomBytes('destination', 1000);

test('finds the image that is there now, by one request however often it is asked', async () => {
  await using registry = await startRegistry({ headDigestHeader: false });
  const images = [image, index, buildSchema1({ layers: [blob], signed: true })];
  await using access = openAccess();
  for (const { manifest } of images) {
    registry.reset();
    registry.seed('app', 'v1', { manifest, instances: [], blobs: new Map() });
    await using destination = await destinationAt(access, registry, 'app:v1');
    const [current] = await Promise.all([destination.currentManifest(), destination.currentManifest()]);
    assert.deepEqual(current, { state: 'present', manifest });
    assert.deepEqual(await destination.currentManifest(), current);
    assert.equal(exchanges(registry), 'GET 200');
  }
});

test('stores bytes that are in memory by a POST and a PUT, and sends none that are wrong', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  const put = await destination.putBlobBytes(blob, infoOf(blob), {});
  assert.deepEqual(put, { digest: infoOf(blob).digest, size: blob.length });
  assert.equal(exchanges(registry), 'POST 202, PUT 201');
  assert.deepEqual(registry.blob('app', infoOf(blob).digest), blob);
  registry.reset();
  for (const wrong of [blob.subarray(1), Buffer.concat([blob, blob]), randomBytes('wrong', blob.length)])
    await assert.rejects(destination.putBlobBytes(wrong, infoOf(blob), {}), ContentMismatchError);
  assert.equal(registry.count(), 0);
});

test('tells absent from what it may not see, or cannot read', async () => {
  const cases = [
    { rule: { status: 404 }, state: 'absent' },
    ...[400, 401, 403, 405, 406].map((status) => ({ rule: { status }, state: 'unknown' })),
    { rule: { status: 200, body: 'no manifest' }, state: 'unknown' },
  ];
  for (const { rule, state } of cases) {
    await using registry = await startRegistry();
    registry.seed('app', 'v1', image);
    registry.behave({ match: { path: /manifests/ }, ...rule });
    await using access = openAccess();
    await using destination = await destinationAt(access, registry, 'app:v1');
    assert.equal((await destination.currentManifest()).state, state, JSON.stringify(rule));
    assert.equal(registry.count({ path: /manifests/ }), 1);
  }
});

test('does not take a registry that is down for one without the image', async () => {
  await using registry = await startRegistry();
  registry.behave({ status: 503 });
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  const presence = await destination.currentManifest();
  assert.ok(presence.state === 'unknown');
  assert.deepEqual([presence.reason.code, presence.reason.side], ['ERR_REGISTRY_FAULT', 'destination']);
});

test('does not push to a registry that only asks to wait', async () => {
  await using registry = await startRegistry();
  registry.behave({ status: 429 });
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  await assert.rejects(destination.currentManifest(), { code: 'ERR_RATE_LIMITED', kind: 'rate-limited' });
});

test('asks for the digest of a tag by one HEAD, and by a GET more where that does not tell it', async () => {
  await using registry = await startRegistry();
  registry.seed('app', 'latest', index);
  await using access = openAccess();
  const look = async (): Promise<string> => {
    registry.reset();
    await using destination = await destinationAt(access, registry, 'app:v1');
    const options = { tag: 'latest', digestOnly: true };
    assert.equal(await currentDigest(destination, options), index.manifest.digest);
    assert.equal(await currentDigest(destination, options), index.manifest.digest);
    return exchanges(registry);
  };
  assert.equal(await look(), 'HEAD 200');
  registry.settings.headDigestHeader = false;
  assert.equal(await look(), 'HEAD 200, GET 200');
  registry.behave({ match: { method: 'HEAD' }, status: 405 });
  assert.equal(await look(), 'HEAD 405, GET 200');
});

test('asks no second time for a name that a HEAD found free', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  assert.deepEqual(await destination.currentManifest({ digestOnly: true }), { state: 'absent' });
  assert.deepEqual(await destination.currentManifest(), { state: 'absent' });
  assert.equal(exchanges(registry), 'HEAD 404');
});

test('writes a manifest under its tag, or another, byte for byte', async () => {
  await using registry = await startRegistry({ checkBlobs: false });
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  await destination.putManifest(image.manifest);
  await destination.putManifest(image.manifest, { tag: 'latest' });
  assert.deepEqual(
    registry.requests.map(({ method, path }) => `${method} ${path}`),
    ['PUT /v2/app/manifests/v1', 'PUT /v2/app/manifests/latest'],
  );
  for (const tag of ['v1', 'latest']) assert.deepEqual(registry.manifest('app', tag), image.manifest);
});

test('does not write a manifest under a name that holds it', async () => {
  await using registry = await startRegistry({ checkBlobs: false });
  registry.seed('app', 'v1', image);
  registry.seed('app', 'latest', index);
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  await destination.currentManifest();
  await destination.currentManifest({ tag: 'latest', digestOnly: true });
  await destination.putManifest(image.manifest);
  await destination.putManifest(image.manifest, { tag: 'latest' });
  await destination.putManifest(image.manifest, { tag: 'latest' });
  assert.equal(exchanges(registry), 'GET 200, HEAD 200, PUT 201');
});

test('writes an instance by its digest, and under no tag', async () => {
  await using registry = await startRegistry({ checkBlobs: false });
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  await destination.putManifest(image.manifest, { instanceDigest: image.manifest.digest });
  assert.deepEqual(registry.tags('app'), []);
  assert.deepEqual(registry.manifest('app', image.manifest.digest), image.manifest);
});

test('writes by digest where the destination is named so', async () => {
  await using registry = await startRegistry({ checkBlobs: false });
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, `app@${image.manifest.digest}`);
  await destination.putManifest(image.manifest);
  assert.deepEqual(
    registry.requests.map(({ method, path }) => `${method} ${path}`),
    [`PUT /v2/app/manifests/${image.manifest.digest}`],
  );
});

test('writes the manifest again after a passing fault, for its bytes are at hand (behaviour 45)', async () => {
  for (const status of [429, 500, 503]) {
    await using registry = await startRegistry({ checkBlobs: false });
    registry.behave({ match: { method: 'PUT', times: 2 }, status, afterRequestBytes: Infinity });
    await using access = openAccess();
    await using destination = await destinationAt(access, registry, 'app:v1');
    await destination.putManifest(image.manifest);
    assert.deepEqual(registry.manifest('app', 'v1'), image.manifest);
  }
});

test('never takes the manifest that was there before for the one it writes', async () => {
  await using registry = await startRegistry({ checkBlobs: false });
  registry.seed('app', 'v1', index);
  registry.behave({ match: { method: 'PUT', times: 1 }, status: 301, headers: { location: '/v2/app/manifests/v1' } });
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  await destination.putManifest(image.manifest);
  assert.deepEqual(registry.manifest('app', 'v1'), image.manifest);
});

test('says why a manifest was refused', async () => {
  await using registry = await startRegistry();
  registry.behave({
    match: { method: 'PUT' },
    status: 400,
    body: JSON.stringify({ errors: [{ code: 'MANIFEST_INVALID', message: 'not like this' }] }),
  });
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  await assert.rejects(destination.putManifest(image.manifest), (error) => {
    assert.ok(error instanceof MissingBlobsError && error.isSuspicion);
    assert.ok(error.cause instanceof RegistryError);
    assert.match(error.cause.message, /^PUT http:.*\/v2\/app\/manifests\/v1: 400 \(MANIFEST_INVALID: not like this\)$/);
    return true;
  });
});

test('says that it is missing blobs of the manifest', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  await assert.rejects(destination.putManifest(image.manifest), { code: 'ERR_MISSING_BLOBS', side: 'destination' });
  registry.behave({ status: 404, body: JSON.stringify({ errors: [{ code: 'BLOB_UNKNOWN' }] }) });
  await assert.rejects(destination.putManifest(image.manifest), { code: 'ERR_MISSING_BLOBS' });
});

test('asks for one token with all that a run will need, push first (behaviours 41 and 68)', async () => {
  const own = 'repository:app:pull,push';
  const base = 'repository:base:pull';
  const cases = [
    { source: undefined, scopes: [own] },
    { source: 'base', scopes: [own, base] },
    { source: 'app', scopes: [own] },
  ];
  for (const { source, scopes } of cases) {
    await using registry = await startRegistry({ auth: { kind: 'bearer' } });
    registry.seedBlob('base', blob);
    await using access = openAccess();
    const from = source === undefined ? undefined : { registry: registry.host, repository: source };
    await using destination = await destinationAt(access, registry, 'app:v1', { source: from });
    await destination.currentManifest();
    await destination.tryReusingBlobWithOptions(infoOf(blob), { srcRef: from });
    assert.deepEqual(
      registry.tokens.map((token) => token.scopes),
      [scopes],
    );
  }
});

test('pushes without mounts where a token server refuses the pair of repositories', async () => {
  await using registry = await startRegistry({ auth: { kind: 'bearer', severalScopes: 'refuse' } });
  registry.seedBlob('base', blob);
  await using access = openAccess();
  const source = { registry: registry.host, repository: 'base' };
  await using destination = await destinationAt(access, registry, 'app:v1', { source });
  assert.deepEqual(await destination.currentManifest(), { state: 'absent' });
  const { reused } = await destination.tryReusingBlobWithOptions(infoOf(blob), { srcRef: source });
  assert.equal(reused, false);
  await destination.putBlobWithOptions(streamOf(blob), infoOf(blob), {});
  assert.deepEqual(registry.blob('app', infoOf(blob).digest), blob);
});

test('cancels the uploads that were opened for nothing when it is closed (behaviour 66)', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  {
    await using destination = await destinationAt(access, registry, 'app:v1');
    await destination.currentManifest();
    await destination.tryReusingBlobWithOptions(infoOf(blob), {});
    assert.equal(registry.sessions.length, 1);
  }
  assert.equal(registry.sessions.length, 0);
});

test('names itself for messages', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  assert.equal(destination.reference, `docker://${registry.host}/app:v1`);
  assert.deepEqual(destination.repository, { registry: registry.host, repository: 'app' });
  await destination.commit();
  assert.equal(registry.count(), 0);
});
