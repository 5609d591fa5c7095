import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { NetworkError } from '../../../../src/http/send/network-error.ts';
import type { RegistryDestination } from '../../../../src/transports/registry/registry-destination.ts';
import { RegistryError } from '../../../../src/transports/registry/registry-error.ts';
import { BlobAttemptError } from '../../../../src/contract/errors.ts';
import { randomBytes } from '../../../support/images.ts';
import { startRegistry, type RegistryOptions, type TestRegistry } from '../../../support/registry.ts';
import { destinationAt, exchanges, infoOf, openAccess, streamOf } from '../../../support/registry-transport.ts';

const MIB = 1024 * 1024;
const blob = randomBytes('large', 5 * MIB);
const { digest } = infoOf(blob);

interface Setting extends AsyncDisposable {
  readonly registry: TestRegistry;
  readonly destination: RegistryDestination;
  /** Puts the blob by a stream of these bytes. */
  readonly put: (bytes?: Buffer, signal?: AbortSignal) => Promise<unknown>;
}

async function setUp(options: RegistryOptions & { idleTimeoutMs?: number } = {}): Promise<Setting> {
  const { idleTimeoutMs, ...settings } = options;
  const registry = await startRegistry(settings);
  const access = openAccess({ idleTimeoutMs });
  const destination = await destinationAt(access, registry, 'app:v1');
  return {
    registry,
    destination,
    put: async (bytes = blob, signal) =>
      await destination.putBlobWithOptions(streamOf(bytes), infoOf(blob), { signal }),
    async [Symbol.asyncDispose]() {
      await destination[Symbol.asyncDispose]();
      await access[Symbol.asyncDispose]();
      await registry.close();
    },
  };
}

/** That another attempt with a new stream may succeed, after a cause of this kind. */
function isAttempt(check: (cause: Error) => boolean): (error: unknown) => boolean {
  return (error) => error instanceof BlobAttemptError && check(error.cause);
}

function isStatus(status: number): (cause: Error) => boolean {
  return (cause) => cause instanceof RegistryError && cause.status === status;
}

test('streams a large blob in one PATCH of known length, closed by PUT (behaviour 63)', async () => {
  await using setting = await setUp();
  const { registry, put } = setting;
  await put();
  assert.equal(exchanges(registry), 'POST 202, PATCH 202, PUT 201');
  assert.equal(registry.requests[1]?.headers['content-length'], String(blob.length));
  assert.equal(registry.requests[1]?.headers['content-range'], undefined);
  assert.equal(registry.requests[2]?.headers['content-length'], '0');
  assert.deepEqual(registry.blob('app', digest), blob);
});

test('streams a blob of unknown size', async () => {
  await using setting = await setUp();
  const { registry, destination } = setting;
  await destination.putBlobWithOptions(streamOf(blob), { digest }, {});
  assert.equal(registry.requests[1]?.headers['transfer-encoding'], 'chunked');
  assert.deepEqual(registry.blob('app', digest), blob);
});

test('never closes an upload whose bytes are wrong, and deletes it (behaviours 14 and 66)', async () => {
  const wrong = Buffer.from(blob);
  wrong.writeUInt8(wrong.readUInt8(9) ^ 1, 9);
  for (const bytes of [wrong, blob.subarray(1), Buffer.concat([blob, blob])]) {
    await using setting = await setUp();
    const { registry, put } = setting;
    await assert.rejects(put(bytes), { code: 'ERR_CONTENT_MISMATCH', kind: 'integrity' });
    await registry.idle();
    assert.equal(registry.count({ method: 'PUT' }), 0);
    assert.equal(registry.count({ method: 'DELETE' }), 1);
    assert.deepEqual([registry.blobs('app'), registry.sessions.length], [[], 0]);
  }
});

test('says that another attempt may succeed when the upload is cut, and deletes the upload (behaviour 66)', async () => {
  await using setting = await setUp();
  const { registry, put } = setting;
  registry.behave({ match: { method: 'PATCH', times: 1 }, resetAfterRequestBytes: MIB });
  await assert.rejects(
    put(),
    isAttempt((cause) => cause instanceof NetworkError && cause.side === 'destination'),
  );
  assert.equal(exchanges(registry), 'POST 202, PATCH aborted, DELETE 204');
  await put();
  assert.deepEqual([registry.blob('app', digest), registry.sessions.length], [blob, 0]);
});

test('says so as well, after a fault of the server, and when the upload is gone or stands elsewhere', async () => {
  for (const status of [500, 502, 503, 404, 416, 408]) {
    await using setting = await setUp();
    const { registry, put } = setting;
    registry.behave({ match: { method: 'PATCH', times: 1 }, status, afterRequestBytes: MIB });
    await assert.rejects(put(), isAttempt(isStatus(status)));
    await put();
    assert.deepEqual(registry.blob('app', digest), blob);
  }
});

test('does not say so where the answer will be the same', async () => {
  for (const status of [400, 401, 403, 409]) {
    await using setting = await setUp();
    const { registry, put } = setting;
    registry.behave({ match: { method: 'PATCH' }, status, afterRequestBytes: Infinity });
    await assert.rejects(put(), (error) => error instanceof RegistryError && error.status === status);
    assert.equal(registry.count({ method: 'PATCH' }), 1);
    assert.equal(registry.sessions.length, 0);
  }
});

test('refuses to be redirected in the middle of a stream (behaviour 64)', async () => {
  await using setting = await setUp();
  const { registry, put } = setting;
  registry.behave({ match: { method: 'PATCH' }, status: 307, headers: { location: '/v2/elsewhere' } });
  await assert.rejects(put(), { code: 'ERR_REDIRECT' });
  assert.equal(registry.count({ path: /elsewhere/ }), 0);
});

test('goes by chunks once the size of a request was refused, each where the one before ended (behaviour 65)', async () => {
  const maxBytes = 3 * MIB;
  await using setting = await setUp({ patch: { maxBytes } });
  const { registry, put } = setting;
  let attempts = 0;
  for (let isDone = false; !isDone; attempts += 1) {
    const error: unknown = await put().then(
      () => undefined,
      (caught: unknown) => caught,
    );
    isDone = error === undefined;
    if (!isDone) assert.ok(isAttempt(isStatus(413))(error));
  }
  assert.ok(attempts <= 3, `${attempts} attempts`);
  assert.deepEqual([registry.blob('app', digest), registry.sessions.length], [blob, 0]);
  const chunks = registry.select({ method: 'PATCH', when: ({ status }) => status === 202 });
  let next = 0;
  for (const { headers, bodyBytes } of chunks) {
    assert.equal(headers['content-range'], `${next}-${next + bodyBytes - 1}`);
    next += bodyBytes;
  }
  assert.equal(next, blob.length);
  registry.reset();
  await put();
  assert.equal(registry.count({ when: ({ status }) => status === 413 }), 0, 'what was learnt is kept');
});

test('sends the stream by one PUT of known length where PATCH is refused, and remembers it', async () => {
  for (const patch of [405, 501]) {
    await using setting = await setUp({ patch });
    const { registry, put } = setting;
    await assert.rejects(put(), isAttempt(isStatus(patch)));
    await put();
    assert.deepEqual([registry.blob('app', digest), registry.sessions.length], [blob, 0]);
    const put1 = registry.select({ method: 'PUT' }).at(-1);
    assert.deepEqual([put1?.headers['content-length'], put1?.bodyBytes], [String(blob.length), blob.length]);
    registry.reset();
    await put();
    assert.equal(exchanges(registry), 'POST 202, PUT 201');
  }
});

test('gives up, with a hint, where even small requests are too large', async () => {
  await using setting = await setUp({ patch: { maxBytes: 1000 } });
  const { registry, put } = setting;
  for (let attempts = 0; ; attempts += 1) {
    const error: unknown = await put().catch((caught: unknown) => caught);
    assert.ok(attempts < 10);
    if (error instanceof BlobAttemptError) continue;
    assert.ok(error instanceof RegistryError);
    assert.deepEqual([error.code, error.side], ['ERR_UPLOAD_TOO_LARGE', 'destination']);
    assert.match(error.hint ?? '', /proxy/);
    break;
  }
  assert.equal(registry.sessions.length, 0);
});

test('looks for the blob when the answer to the closing PUT is lost', async () => {
  await using setting = await setUp();
  const { registry, put } = setting;
  registry.behave({ match: { method: 'PUT', times: 1 }, loseAnswer: 'reset' });
  await put();
  assert.deepEqual(registry.blob('app', digest), blob);
  assert.equal(registry.requests.at(-1)?.method, 'HEAD');
  assert.equal(registry.count({ method: 'PATCH' }), 1);
});

test('says that another attempt may succeed when the upload was not closed, nor the blob is there', async () => {
  await using setting = await setUp();
  const { registry, put } = setting;
  registry.behave({ match: { method: 'PUT' }, status: 500 });
  await assert.rejects(put(), isAttempt(isStatus(500)));
  assert.equal(registry.sessions.length, 0);
});

test('gives up on a registry that stops reading (behaviour 52)', async () => {
  await using setting = await setUp({ idleTimeoutMs: 50 });
  const { registry, put } = setting;
  registry.behave({ match: { method: 'PATCH', times: 1 }, stallAfterRequestBytes: 1000 });
  await assert.rejects(
    put(),
    isAttempt((cause) => cause instanceof NetworkError && cause.failure === 'timeout'),
  );
});

test('deletes the upload when it is aborted (behaviour 66)', async () => {
  await using setting = await setUp();
  const { registry, put } = setting;
  const controller = new AbortController();
  registry.behave({ match: { method: 'PATCH' }, call: () => controller.abort(), stall: true });
  await assert.rejects(put(blob, controller.signal), { name: 'AbortError' });
  assert.equal(registry.count({ method: 'DELETE' }), 1);
  assert.deepEqual([registry.blobs('app'), registry.sessions.length], [[], 0]);
});

test('destroys the stream that it was given when the upload fails', async () => {
  await using setting = await setUp();
  setting.registry.behave({ match: { method: 'PATCH' }, status: 400 });
  const stream = new Readable({ read: () => undefined });
  stream.push(blob.subarray(0, 1000));
  const put = setting.destination.putBlobWithOptions(stream, infoOf(blob), {});
  await assert.rejects(put, RegistryError);
  assert.equal(stream.destroyed, true);
});
