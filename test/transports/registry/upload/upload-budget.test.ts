import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { MemoryBudget } from '../../../../src/io/memory.ts';
import { NetworkError } from '../../../../src/http/send/network-error.ts';
import { RegistryError } from '../../../../src/transports/registry/registry-error.ts';
import { BlobAttemptError } from '../../../../src/contract/errors.ts';
import { randomBytes } from '../../../support/images.ts';
import { startRegistry, type RequestRecord, type TestRegistry } from '../../../support/registry.ts';
import { destinationAt, exchanges, infoOf, openAccess, streamOf } from '../../../support/registry-transport.ts';

const MIB = 1024 * 1024;
const small = randomBytes('small', 100_000);
const large = randomBytes('large', 5 * MIB);
const url = new URL('https://source.test/v2/app/blobs/1');

test('sends no second body into an upload that may hold a part of the first', async () => {
  for (const keepCutSessions of [true, false]) {
    await using registry = await startRegistry({ keepCutSessions });
    await using access = openAccess();
    await using destination = await destinationAt(access, registry, 'app:v1');
    registry.behave({ match: { method: 'PUT', times: 1 }, resetAfterRequestBytes: 10_000 });
    await destination.putBlobWithOptions(streamOf(small), infoOf(small), {});
    assert.deepEqual(registry.blob('app', infoOf(small).digest), small);
    const puts = registry.select({ method: 'PUT' }).map(({ path }) => path);
    assert.equal(new Set(puts).size, 2);
    assert.equal(registry.sessions.length, 0);
  }
});

test('sends a small blob six times in all, whatever goes wrong, and leaves no upload behind (behaviour 66)', async () => {
  for (const fault of [{ status: 500 }, { loseAnswer: 'reset' as const, status: 500 }]) {
    await using registry = await startRegistry();
    await using access = openAccess();
    await using destination = await destinationAt(access, registry, 'app:v1');
    registry.behave({ match: { method: 'PUT' }, ...fault, afterRequestBytes: Infinity });
    await assert.rejects(destination.putBlobWithOptions(streamOf(small), infoOf(small), {}));
    assert.equal(registry.count({ method: 'PUT' }), 6);
    assert.equal(registry.sessions.length, 0);
  }
});

test('deletes the upload when the source of a small blob fails (behaviour 66)', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  const wrong = destination.putBlobWithOptions(streamOf(small.subarray(1)), infoOf(small), {});
  await assert.rejects(wrong, { code: 'ERR_CONTENT_MISMATCH' });
  assert.equal(exchanges(registry), 'POST 202, DELETE 204');
  assert.equal(registry.sessions.length, 0);
});

test('does not send again because of a failure of the source, which has its own retries', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  const failures = [
    new NetworkError({ method: 'GET', url, side: 'source' }, 'lost', new Error('cut')),
    new RegistryError('GET: 404', { status: 404, codes: [], side: 'source', hint: undefined }),
  ];
  for (const failure of failures) {
    const stream = new Readable({ read: () => undefined });
    const put = destination.putBlobWithOptions(stream, infoOf(large), {});
    stream.push(large.subarray(0, 1000));
    stream.destroy(failure);
    await assert.rejects(put, failure);
    assert.equal(registry.sessions.length, 0);
  }
});

test('sends a stream again after a 429, and after a token that ran out in the middle of it (behaviour 42)', async () => {
  await using registry = await startRegistry({ auth: { kind: 'bearer' } });
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  const put = async (): Promise<unknown> =>
    await destination.putBlobWithOptions(streamOf(large), infoOf(large), {}).catch((error: unknown) => error);
  const takeBack = registry.behave({ match: { method: 'PATCH' }, status: 429 });
  assert.ok((await put()) instanceof BlobAttemptError);
  takeBack();
  registry.behave({ match: { method: 'POST', times: 1 }, call: () => registry.revokeTokens() });
  assert.ok((await put()) instanceof BlobAttemptError);
  await put();
  assert.deepEqual(registry.blob('app', infoOf(large).digest), large);
});

test('sends many small blobs at once to a registry that refuses bodies in a PUT', async () => {
  await using registry = await startRegistry({ monolithic: 'refuse' });
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  const blobs = Array.from({ length: 8 }, (_, index) => randomBytes(`refused ${index}`, 1000));
  answerTogether(registry, 'PUT', blobs.length);
  await Promise.all(
    blobs.map(async (bytes) => await destination.putBlobWithOptions(streamOf(bytes), infoOf(bytes), {})),
  );
  assert.equal(registry.blobs('app').length, blobs.length);
});

test('learns one limit from many requests that were refused together', async () => {
  await using registry = await startRegistry({ patch: { maxBytes: 3 * MIB } });
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  const blobs = Array.from({ length: 6 }, (_, index) => randomBytes(`together ${index}`, 5 * MIB));
  answerTogether(registry, 'PATCH', blobs.length);
  const put = async (bytes: Buffer): Promise<number> => {
    for (let attempts = 1; ; attempts += 1) {
      const error: unknown = await destination.putBlobWithOptions(streamOf(bytes), infoOf(bytes), {}).then(
        () => undefined,
        (caught: unknown) => caught,
      );
      if (error === undefined) return attempts;
      assert.ok(error instanceof BlobAttemptError);
    }
  };
  const attempts = await Promise.all(blobs.map(put));
  assert.ok(Math.max(...attempts) <= 3, attempts.join(' '));
  assert.equal(registry.blobs('app').length, blobs.length);
  const accepted = registry.select({ method: 'PATCH', when: ({ status }) => status === 202 });
  assert.equal(Math.max(...accepted.map(({ bodyBytes }) => bodyBytes)), 2 * MIB);
});

test('takes chunks from the memory of the blob: smaller ones where there is less', async () => {
  const huge = randomBytes('huge', 17 * MIB);
  for (const [budget, chunks] of [
    [24 * MIB, [8, 8, 1]],
    [4 * MIB, [4, 4, 4, 4, 1]],
  ] as const) {
    await using registry = await startRegistry({ patch: { maxBytes: 9 * MIB } });
    await using access = openAccess();
    await using destination = await destinationAt(access, registry, 'app:v1');
    await assert.rejects(destination.putBlobWithOptions(streamOf(huge), infoOf(huge), {}), BlobAttemptError);
    const total = new MemoryBudget(budget);
    await destination.putBlobWithOptions(streamOf(huge), infoOf(huge), { memory: total.openAccount() });
    const accepted = registry.select({ method: 'PATCH', when: ({ status }) => status === 202 });
    assert.deepEqual(
      accepted.map(({ bodyBytes }) => bodyBytes / MIB),
      chunks,
    );
    assert.equal(total.used, 0, 'all is given back');
  }
});

test('sends a chunk again that failed, from where the registry says it is, and not the whole blob', async () => {
  const huge = randomBytes('huge', 17 * MIB);
  for (const fault of [
    { status: 503 },
    { status: 500, afterRequestBytes: Infinity },
    { resetAfterRequestBytes: 3 * MIB },
    { loseAnswer: 'reset' as const },
    { status: 429 },
  ]) {
    for (const locations of ['relative', 'with-query'] as const) {
      await using registry = await startRegistry({ patch: { maxBytes: 9 * MIB }, locations });
      await using access = openAccess();
      await using destination = await destinationAt(access, registry, 'app:v1');
      await assert.rejects(destination.putBlobWithOptions(streamOf(huge), infoOf(huge), {}), BlobAttemptError);
      registry.reset();
      registry.behave({ match: { method: 'PATCH', when: isSecondChunk, times: 1 }, ...fault });
      await destination.putBlobWithOptions(streamOf(huge), infoOf(huge), {});
      assert.deepEqual(registry.blob('app', infoOf(huge).digest), huge);
      assert.equal(registry.count({ method: 'POST' }), 1, JSON.stringify([fault, locations]));
      assert.equal(registry.count({ method: 'GET', path: /uploads/ }), 1);
      assert.equal(registry.sessions.length, 0);
    }
  }
});

test('obeys OCI-Chunk-Min-Length, however small the limit and the memory', async () => {
  const huge = randomBytes('huge', 17 * MIB);
  await using registry = await startRegistry({ patch: { maxBytes: 9 * MIB }, chunkMinLength: 6 * MIB });
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  await assert.rejects(destination.putBlobWithOptions(streamOf(huge), infoOf(huge), {}), BlobAttemptError);
  const memory = new MemoryBudget(MIB).openAccount();
  await destination.putBlobWithOptions(streamOf(huge), infoOf(huge), { memory });
  const accepted = registry.select({ method: 'PATCH', when: ({ status }) => status === 202 });
  assert.deepEqual(
    accepted.map(({ bodyBytes }) => bodyBytes / MIB),
    [6, 6, 5],
  );
});

test('gives an upload up whose status is less than the registry had confirmed, and sends the blob anew', async () => {
  const huge = randomBytes('huge', 17 * MIB);
  await using registry = await startRegistry({ patch: { maxBytes: 9 * MIB } });
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  await assert.rejects(destination.putBlobWithOptions(streamOf(huge), infoOf(huge), {}), BlobAttemptError);
  registry.behave({ match: { method: 'PATCH', when: isSecondChunk, times: 1 }, status: 503 });
  registry.behave({ match: { method: 'GET', path: /uploads/ }, headers: { range: '0-99' } });
  await assert.rejects(destination.putBlobWithOptions(streamOf(huge), infoOf(huge), {}), BlobAttemptError);
  assert.equal(registry.sessions.length, 0, 'it is cancelled');
  await destination.putBlobWithOptions(streamOf(huge), infoOf(huge), {});
  assert.deepEqual(registry.blob('app', infoOf(huge).digest), huge);
});

test('tries nothing again without retries, but another way all the same', async () => {
  await using registry = await startRegistry({ monolithic: 404 });
  await using access = openAccess({ policy: { retries: 0 } });
  await using destination = await destinationAt(access, registry, 'app:v1');
  await destination.putBlobWithOptions(streamOf(small), infoOf(small), {});
  assert.equal(exchanges(registry), 'POST 202, PUT 404, DELETE 204, POST 202, PATCH 202, PUT 201');
  registry.reset();
  registry.behave({ match: { method: 'PUT' }, status: 503 });
  const other = randomBytes('other', 1000);
  await assert.rejects(destination.putBlobWithOptions(streamOf(other), infoOf(other), {}), { status: 503 });
  assert.equal(registry.count({ method: 'PUT' }), 1);
});

test('begins with chunks of 8 MiB where the size of the whole was refused', async () => {
  const huge = randomBytes('huge', 17 * MIB);
  await using registry = await startRegistry({ patch: { maxBytes: 9 * MIB } });
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  await assert.rejects(destination.putBlobWithOptions(streamOf(huge), infoOf(huge), {}), BlobAttemptError);
  await destination.putBlobWithOptions(streamOf(huge), infoOf(huge), {});
  const accepted = registry.select({ method: 'PATCH', when: ({ status }) => status === 202 });
  assert.deepEqual(
    accepted.map(({ bodyBytes }) => bodyBytes / MIB),
    [8, 8, 1],
  );
});

function isSecondChunk({ headers }: RequestRecord): boolean {
  return headers['content-range']?.startsWith(`${8 * MIB}-`) ?? false;
}

/** Answers the first so many requests when they are all there. */
function answerTogether(registry: TestRegistry, method: string, count: number): void {
  const all = Promise.withResolvers<void>();
  registry.behave({
    match: { method, times: count },
    call: async () => {
      if (registry.count({ method }) === count) all.resolve();
      await all.promise;
    },
  });
}
