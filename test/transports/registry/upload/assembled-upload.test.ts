import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../../../src/digest/digest.ts';
import { ImgcopyError } from '../../../../src/errors/imgcopy-error.ts';
import type { BlobInfo } from '../../../../src/contract/blob-info.ts';
import { PartialBlobUnavailableError } from '../../../../src/contract/errors.ts';
import { fixtureImage } from '../../../support/fixture-images.ts';
import { randomBytes } from '../../../support/images.ts';
import { MemoryAccessor, type MemoryAnswer } from '../../../support/memory-accessor.ts';
import { startRegistry, type RegistryOptions, type TestRegistry } from '../../../support/registry.ts';
import { infoOf } from '../../../support/registry-transport.ts';
import { putBlob, stateHome } from './uploading.ts';

const MiB = 1024 * 1024;
const blob = randomBytes('large', 20 * MiB);
const info = infoOf(blob);
const patches = { method: 'PATCH' };

const v1 = await fixtureImage('zstdchunked', 'v1');
const v2 = await fixtureImage('zstdchunked', 'v2');
const [old, layer] = [v1.layers[1], v2.layers[1]];
const layerBytes = await v2.blob(layer.digest);

async function registryWithV1(options: RegistryOptions = {}): Promise<TestRegistry> {
  const registry = await startRegistry(options);
  const blobs = [v1.config, ...v1.layers].map(async ({ digest }) => [digest, await v1.blob(digest)] as const);
  const manifest = { ...v1.manifest, bytes: v1.manifestBytes, mediaType: v1.manifest.mediaType ?? '' };
  registry.seed('app', 'v1', { manifest, instances: [], blobs: new Map(await Promise.all(blobs)) });
  return registry;
}

function askedOf({ requests }: MemoryAccessor): number {
  return requests.flat().reduce((sum, { length = 0 }) => sum + length, 0);
}

/** Methods and statuses of the requests for blobs, in their order. */
function uploadsOf(registry: TestRegistry): string {
  const requests = registry.select({ path: /blobs/ });
  return requests.map(({ method, status, outcome }) => `${method} ${status ?? outcome}`).join(', ');
}

/** Where in the blob each PATCH began, and how many of its bytes were taken. */
function patchesOf(registry: TestRegistry): readonly string[] {
  return registry
    .select(patches)
    .map(({ headers, bodyBytes }) => `${headers['content-range'] ?? 'from 0'}: ${bodyBytes}`);
}

test('a large blob is one PATCH of ordered ranges, and nothing is left open', async (t) => {
  using state = await (await stateHome(t))();
  await using registry = await startRegistry();
  const source = new MemoryAccessor(blob);
  const put = await putBlob(registry, source, info, { state });
  assert.deepEqual(put, { digest: info.digest, size: info.size, bytesReused: 0, bytesResumed: 0 });
  assert.equal(uploadsOf(registry), 'POST 202, PATCH 202, PUT 201');
  assert.ok(registry.blob('app', info.digest)?.equals(blob));
  assert.equal(askedOf(source), info.size);
  assert.deepEqual(registry.sessions, []);
});

test('the upload that a mount left open is used', async (t) => {
  using state = await (await stateHome(t))();
  await using registry = await startRegistry();
  await putBlob(registry, new MemoryAccessor(blob), info, {
    state,
    before: (destination) => destination.tryReusingBlobWithOptions(info, {}),
  });
  assert.equal(registry.count({ method: 'POST' }), 1);
  assert.deepEqual(registry.sessions, []);
});

test('a cut upload resumes where the registry says that it is', async (t) => {
  using state = await (await stateHome(t))();
  await using registry = await startRegistry({ keepCutSessions: true });
  registry.behave({ match: { ...patches, times: 1 }, resetAfterRequestBytes: 7 * MiB });
  registry.behave({ match: { ...patches, times: 1 }, resetAfterRequestBytes: 9 * MiB });
  const source = new MemoryAccessor(blob);
  const put = await putBlob(registry, source, info, { state });
  assert.equal(put.bytesReused, 0, 'it all came from the source');
  assert.equal(uploadsOf(registry), 'POST 202, PATCH aborted, GET 204, PATCH aborted, GET 204, PATCH 202, PUT 201');
  const end = info.size - 1;
  assert.deepEqual(patchesOf(registry), [
    `from 0: ${7 * MiB}`,
    `${7 * MiB}-${end}: ${9 * MiB}`,
    `${16 * MiB}-${end}: ${4 * MiB}`,
  ]);
  assert.ok(registry.blob('app', info.digest)?.equals(blob));
});

test('an upload that a registry forgets when it is cut starts again', async (t) => {
  using state = await (await stateHome(t))();
  await using registry = await startRegistry({ keepCutSessions: false });
  registry.behave({ match: { ...patches, times: 2 }, resetAfterRequestBytes: 7 * MiB });
  await putBlob(registry, new MemoryAccessor(blob), info, { state });
  assert.equal(
    uploadsOf(registry),
    'POST 202, PATCH aborted, GET 404, POST 202, PATCH aborted, GET 404, POST 202, PATCH 202, PUT 201',
  );
  assert.ok(registry.blob('app', info.digest)?.equals(blob));
  assert.deepEqual(registry.sessions, []);
});

test('an upload whose last answer was lost is only closed', async (t) => {
  using state = await (await stateHome(t))();
  await using registry = await startRegistry();
  registry.behave({ match: { ...patches, times: 1 }, loseAnswer: 'reset' });
  await putBlob(registry, new MemoryAccessor(blob), info, { state });
  assert.equal(uploadsOf(registry), 'POST 202, PATCH aborted, GET 204, PUT 201');
});

test('a registry that never takes a byte is given up after the retries, and its session let go', async (t) => {
  using state = await (await stateHome(t))();
  for (const rule of [{ resetAfterRequestBytes: 0 }, { status: 503 }, { status: 500, afterRequestBytes: MiB }]) {
    await using registry = await startRegistry();
    registry.behave({ match: patches, ...rule });
    await assert.rejects(putBlob(registry, new MemoryAccessor(blob), info, { state }), ImgcopyError);
    assert.equal(registry.count(patches), 6);
    assert.deepEqual(registry.sessions, []);
    assert.equal(registry.blob('app', info.digest), undefined);
  }
});

test('a request that is too large for a proxy is sent in smaller ones', async (t) => {
  using state = await (await stateHome(t))();
  await using registry = await startRegistry({ patch: { maxBytes: 10 * MiB } });
  await putBlob(registry, new MemoryAccessor(blob), info, { state });
  assert.ok(registry.blob('app', info.digest)?.equals(blob));
  assert.deepEqual(registry.sessions, []);
});

test('what the source fails at is not tried again by the upload', async (t) => {
  using state = await (await stateHome(t))();
  await using registry = await startRegistry();
  const failure = new ImgcopyError('the source is gone', { code: 'ERR_NOT_FOUND', kind: 'not-found', side: 'source' });
  const answer = ([chunk]: readonly { offset: number }[]): MemoryAnswer =>
    (chunk?.offset ?? 0) < 4 * MiB ? 'ranges' : failure;
  await assert.rejects(
    putBlob(registry, new MemoryAccessor(blob, { answer, latencyMs: 25 }), info, { state }),
    (e) => e === failure,
  );
  await registry.idle();
  assert.deepEqual([registry.count(patches), registry.count({ method: 'DELETE' })], [1, 1]);
  assert.deepEqual(registry.sessions, []);
});

test('wrong bytes are never published, and the plain way follows (behaviour 14)', async (t) => {
  using state = await (await stateHome(t))();
  await using registry = await startRegistry();
  const wrong = Buffer.from(blob);
  wrong[11 * MiB] = (wrong[11 * MiB] ?? 0) ^ 1;
  await assert.rejects(putBlob(registry, new MemoryAccessor(wrong), info, { state }), PartialBlobUnavailableError);
  assert.equal(registry.count({ method: 'PUT' }), 0, 'the digest is known to be wrong');
  assert.deepEqual(registry.sessions, []);
  assert.equal(registry.blob('app', info.digest), undefined);
});

test('pieces are read from the registry itself', async (t) => {
  using state = await (await stateHome(t))();
  await using registry = await registryWithV1();
  const source = new MemoryAccessor(layerBytes);
  const put = await putBlob(registry, source, layer, { state, layerIndex: 1 });
  assert.ok(put.bytesReused > 0.6 * layer.size);
  assert.equal(put.bytesReused + askedOf(source), layer.size);
  assert.equal(source.requests.length, 2);
  assert.ok(registry.blob('app', layer.digest)?.equals(layerBytes));
});

test('an old blob that is deleted meanwhile is replaced by the source', async (t) => {
  using state = await (await stateHome(t))();
  await using registry = await registryWithV1();
  const answer = (): MemoryAnswer => {
    registry.remove('app', old.digest);
    return 'ranges';
  };
  const put = await putBlob(registry, new MemoryAccessor(layerBytes, { answer }), layer, { state, layerIndex: 1 });
  assert.equal(put.bytesReused, 0);
  assert.ok(registry.blob('app', layer.digest)?.equals(layerBytes));
});

test('an old blob whose bytes are wrong ends the upload, and the plain way follows', async (t) => {
  using state = await (await stateHome(t))();
  await using registry = await registryWithV1();
  const wrong = await v1.blob(old.digest);
  wrong.fill(0, 200_000, 500_000);
  registry.seedBlob('app', wrong, old.digest);
  const put = putBlob(registry, new MemoryAccessor(layerBytes), layer, { state, layerIndex: 1 });
  await assert.rejects(put, PartialBlobUnavailableError);
  assert.deepEqual(registry.sessions, []);
  assert.equal(registry.blob('app', layer.digest), undefined);
});

test('an upload with reused pieces that is cut resumes in the same run', async (t) => {
  using state = await (await stateHome(t))();
  await using registry = await registryWithV1();
  registry.behave({ match: { ...patches, times: 1 }, resetAfterRequestBytes: 600_000 });
  await putBlob(registry, new MemoryAccessor(layerBytes), layer, { state, layerIndex: 1 });
  assert.deepEqual(patchesOf(registry), ['from 0: 600000', `600000-${layer.size - 1}: ${layer.size - 600_000}`]);
  assert.ok(registry.blob('app', layer.digest)?.equals(layerBytes));
});

const plain: BlobInfo = { digest: digestOf(layerBytes), size: layerBytes.length };

test('a small blob that has no pieces is left to the plain way, without a request', async (t) => {
  using state = await (await stateHome(t))();
  await using registry = await startRegistry();
  await assert.rejects(
    putBlob(registry, new MemoryAccessor(layerBytes), plain, { state }),
    PartialBlobUnavailableError,
  );
  assert.equal(registry.count({ path: /blobs/ }), 0);
});
