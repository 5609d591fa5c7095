import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { noCache } from '../../../../src/cache/no-cache.ts';
import type { RegistryAccess } from '../../../../src/transports/registry/registry-access.ts';
import type { RegistryDestination } from '../../../../src/transports/registry/registry-destination.ts';
import { RegistryError } from '../../../../src/transports/registry/registry-error.ts';
import type { PutBlobOptions } from '../../../../src/contract/image-destination.ts';
import { randomBytes } from '../../../support/images.ts';
import { startRegistry, type RegistryOptions, type TestRegistry } from '../../../support/registry.ts';
import { destinationAt, exchanges, infoOf, openAccess, streamOf } from '../../../support/registry-transport.ts';

const blob = randomBytes('small', 700_000);
const { digest } = infoOf(blob);
const PUT_BODY = { method: 'PUT', times: 1 };

interface Setting extends AsyncDisposable {
  readonly registry: TestRegistry;
  readonly destination: RegistryDestination;
  readonly access: RegistryAccess;
  /** Puts a blob by a stream of its bytes. */
  readonly put: (bytes?: Buffer, options?: PutBlobOptions) => Promise<unknown>;
}

async function setUp(options: RegistryOptions = {}): Promise<Setting> {
  const registry = await startRegistry(options);
  const access = openAccess();
  const destination = await destinationAt(access, registry, 'app:v1');
  return {
    registry,
    access,
    destination,
    put: async (bytes = blob, more = {}) => await destination.putBlobWithOptions(streamOf(bytes), infoOf(bytes), more),
    async [Symbol.asyncDispose]() {
      await destination[Symbol.asyncDispose]();
      await access[Symbol.asyncDispose]();
      await registry.close();
    },
  };
}

test('sends a small blob in one PUT (behaviour 63)', async () => {
  await using setting = await setUp();
  const { registry, put } = setting;
  assert.deepEqual(await put(), infoOf(blob));
  assert.equal(exchanges(registry), 'POST 202, PUT 201');
  assert.equal(registry.requests[1]?.headers['content-length'], String(blob.length));
  assert.deepEqual(registry.blob('app', digest), blob);
});

test('sends an empty blob', async () => {
  await using setting = await setUp();
  const empty = Buffer.alloc(0);
  await setting.put(empty);
  assert.deepEqual(setting.registry.blob('app', infoOf(empty).digest), empty);
});

test('opens the upload while the blob is still being read', async () => {
  await using setting = await setUp();
  const { registry, destination } = setting;
  const slow = new Readable({ read: () => undefined });
  const put = destination.putBlobWithOptions(slow, infoOf(blob), {});
  await registry.until(() => registry.count({ method: 'POST' }) === 1);
  slow.push(blob);
  slow.push(null);
  await put;
  assert.deepEqual(registry.blob('app', digest), blob);
});

test('goes by PATCH where a PUT with a body is refused, and remembers it (behaviour 63)', async () => {
  await using setting = await setUp({ monolithic: 'refuse' });
  const { registry, put } = setting;
  await put();
  assert.deepEqual(sent(registry).slice(-3), ['POST 202', 'PATCH 202', 'PUT 201']);
  assert.equal(registry.count({ method: 'PUT', when: ({ status }) => status === 405 }), 1);
  assert.deepEqual(registry.blob('app', digest), blob);
  registry.reset();
  await put(randomBytes('another', 1000));
  assert.equal(exchanges(registry), 'POST 202, PATCH 202, PUT 201');
});

test('goes by PATCH whatever status a host refuses a PUT with a body by, and tells all destinations of a run', async () => {
  for (const monolithic of [400, 404, 405, 409, 411, 415, 422, 501]) {
    await using setting = await setUp({ monolithic });
    const { registry, access, put } = setting;
    await put();
    assert.deepEqual(registry.blob('app', digest), blob);
    assert.deepEqual(sent(registry), ['POST 202', `PUT ${monolithic}`, 'POST 202', 'PATCH 202', 'PUT 201']);
    assert.equal(registry.sessions.length, 0);
    registry.reset();
    await using other = await destinationAt(access, registry, 'other:v1');
    await other.putBlobWithOptions(streamOf(blob), infoOf(blob), {});
    assert.equal(exchanges(registry), 'POST 202, PATCH 202, PUT 201');
  }
});

test('takes no other way once a PUT with a body was taken: a 404 or 400 is the upload’s then', async () => {
  await using setting = await setUp();
  const { registry, put } = setting;
  await put(randomBytes('before', 1000));
  registry.behave({ match: { method: 'PUT', times: 1 }, status: 400, afterRequestBytes: Infinity });
  await assert.rejects(put(), (error) => error instanceof RegistryError && error.status === 400);
  assert.equal(registry.count({ method: 'PATCH' }), 0);
});

test('fails with the answer to the last way where both are refused', async () => {
  await using setting = await setUp({ monolithic: 405, patch: 405 });
  const { registry, put } = setting;
  await assert.rejects(put(), { code: 'ERR_REGISTRY_REFUSED', side: 'destination' });
  assert.deepEqual(sent(registry), ['POST 202', 'PUT 405', 'POST 202', 'PATCH 405']);
  assert.equal(registry.sessions.length, 0);
});

test('goes by chunks where a proxy limits the size of a request, and remembers it (behaviour 65)', async () => {
  const limit = { maxBytes: 300_000 };
  await using setting = await setUp({ monolithic: limit, patch: limit });
  const { registry, put } = setting;
  await put();
  assert.deepEqual(registry.blob('app', digest), blob);
  const chunks = registry.select({ method: 'PATCH', when: ({ status }) => status === 202 });
  let next = 0;
  for (const { headers, bodyBytes } of chunks) {
    assert.equal(headers['content-range'], `${next}-${next + bodyBytes - 1}`);
    assert.ok(bodyBytes <= limit.maxBytes);
    next += bodyBytes;
  }
  assert.equal(next, blob.length);
  registry.reset();
  await put(randomBytes('another', 500_000));
  assert.equal(exchanges(registry), 'POST 202, PATCH 202, PATCH 202, PUT 201');
});

test('begins anew in a new upload after a cut PUT, once it has looked whether the blob is there', async () => {
  for (const options of [{ keepCutSessions: false }, { locations: 'with-query' }] as const) {
    await using setting = await setUp(options);
    const { registry, put } = setting;
    registry.behave({ match: PUT_BODY, resetAfterRequestBytes: 100_000 });
    await put();
    assert.deepEqual(registry.blob('app', digest), blob);
    assert.deepEqual(sent(registry).slice(-3), ['HEAD 404', 'POST 202', 'PUT 201']);
  }
});

test('sends nothing again when the answer was lost, but the blob is there', async () => {
  await using setting = await setUp();
  const { registry, put } = setting;
  registry.behave({ match: PUT_BODY, loseAnswer: 'reset' });
  await put();
  assert.deepEqual(registry.blob('app', digest), blob);
  assert.equal(registry.requests.at(-1)?.method, 'HEAD');
  assert.equal(registry.count({ method: 'POST' }), 1);
});

test('sends the bytes again after a passing fault, and in a new upload where the old one is gone', async () => {
  const faults = [{ status: 500 }, { status: 503 }, { status: 429 }, { status: 404 }, { status: 416 }];
  for (const fault of faults) {
    await using setting = await setUp();
    const { registry, put } = setting;
    registry.behave({ match: PUT_BODY, ...fault, afterRequestBytes: Infinity });
    await put();
    assert.deepEqual(registry.blob('app', digest), blob, JSON.stringify(fault));
  }
});

test('asks no second time where the answer will be the same (behaviour 46)', async () => {
  for (const status of [401, 403]) {
    await using setting = await setUp();
    const { registry, put } = setting;
    registry.behave({ match: { method: 'PUT' }, status, afterRequestBytes: Infinity });
    await assert.rejects(put(), (error) => error instanceof RegistryError && error.status === status);
    assert.equal(registry.count({ method: 'PUT' }), 1);
  }
});

test('says that one may not push', async () => {
  await using setting = await setUp();
  const { registry, put } = setting;
  registry.behave({ match: { method: 'POST' }, status: 403 });
  await assert.rejects(put(), { code: 'ERR_DENIED', kind: 'denied', side: 'destination' });
  assert.equal(registry.count({ method: 'PUT' }), 0);
});

test('sends nothing of a stream that is not the blob that was promised (behaviour 14)', async () => {
  const wrong = Buffer.from(blob);
  wrong.writeUInt8(wrong.readUInt8(9) ^ 1, 9);
  for (const bytes of [wrong, blob.subarray(1), Buffer.concat([blob, blob])]) {
    await using setting = await setUp();
    const { registry, destination } = setting;
    const put = destination.putBlobWithOptions(streamOf(bytes), infoOf(blob), {});
    await assert.rejects(put, { code: 'ERR_CONTENT_MISMATCH', kind: 'integrity' });
    assert.equal(registry.count({ method: 'PUT' }), 0);
    assert.deepEqual(registry.blobs('app'), []);
  }
});

test('hands the failure of its source on', async () => {
  await using setting = await setUp();
  const failure = new Error('the source failed');
  const failing = new Readable({ read: () => undefined });
  const put = setting.destination.putBlobWithOptions(failing, infoOf(blob), {});
  failing.push(blob.subarray(0, 1000));
  failing.destroy(failure);
  await assert.rejects(put, failure);
  assert.deepEqual(setting.registry.blobs('app'), []);
});

test('tells the cache where the blob is once it is there, and not before', async () => {
  await using setting = await setUp();
  const { registry, put } = setting;
  const known: string[] = [];
  const cache = { ...noCache(), recordKnownLocation: (found: string): void => void known.push(found) };
  registry.behave({ match: { method: 'PUT', times: 1 }, status: 403, afterRequestBytes: Infinity });
  await assert.rejects(put(blob, { cache }), RegistryError);
  assert.deepEqual(known, []);
  await put(blob, { cache });
  assert.deepEqual(known, [digest]);
});

test('ends when it is aborted, wherever it is', async () => {
  for (const method of ['POST', 'PUT']) {
    await using setting = await setUp();
    const { registry, put } = setting;
    const controller = new AbortController();
    registry.behave({ match: { method }, call: () => controller.abort(), stall: true });
    await assert.rejects(put(blob, { signal: controller.signal }), { name: 'AbortError' });
    await registry.idle();
    assert.deepEqual(registry.blobs('app'), []);
  }
});

/** Methods and statuses of the requests, those apart that let go of an upload. */
function sent(registry: TestRegistry): readonly string[] {
  return registry
    .select({ when: ({ method }) => method !== 'DELETE' })
    .map(({ method, status }) => `${method} ${status}`);
}
