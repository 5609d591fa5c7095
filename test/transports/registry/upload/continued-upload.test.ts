import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UploadState } from '../../../../src/cache/upload-state.ts';
import { PartialBlobUnavailableError } from '../../../../src/contract/errors.ts';
import type { PartialPlan } from '../../../../src/contract/image-destination.ts';
import { MemoryBudget } from '../../../../src/io/memory.ts';
import { fixtureImage } from '../../../support/fixture-images.ts';
import { randomBytes } from '../../../support/images.ts';
import { MemoryAccessor, type MemoryAnswer } from '../../../support/memory-accessor.ts';
import { startRegistry, type RegistryOptions, type TestRegistry } from '../../../support/registry.ts';
import { destinationAt, infoOf, openAccess } from '../../../support/registry-transport.ts';
import { putBlob, stateHome } from './uploading.ts';

const MiB = 1024 * 1024;
const blob = randomBytes('large', 40 * MiB);
const info = infoOf(blob);
const patches = { method: 'PATCH' };
const target = { repository: 'app', digest: info.digest };

function askedOf({ requests }: MemoryAccessor): number {
  return requests.flat().reduce((sum, { length = 0 }) => sum + length, 0);
}

interface CutRun {
  readonly registry: TestRegistry;
  readonly openState: () => Promise<UploadState>;
}

/** A run that was interrupted when the registry had `received` bytes, or a little more. */
async function interrupt(
  run: CutRun,
  { received, bytes = blob }: { readonly received: number; readonly bytes?: Buffer },
): Promise<void> {
  using state = await run.openState();
  const controller = new AbortController();
  const left = putBlob(run.registry, new MemoryAccessor(bytes), info, { state, signal: controller.signal });
  const ended = assert.rejects(left, { name: 'AbortError' });
  run.registry.behave({ match: { ...patches, times: 1 }, stallAfterRequestBytes: received });
  await run.registry.until(() => run.registry.sessions[0]?.bytes === received);
  controller.abort();
  await ended;
  run.registry.behaveWell();
  await run.registry.idle();
}

async function startRun(t: Parameters<typeof stateHome>[0], options: RegistryOptions = {}): Promise<CutRun> {
  const registry = await startRegistry({ keepCutSessions: true, ...options });
  t.after(() => registry.close());
  return { registry, openState: await stateHome(t) };
}

/** Whether anybody could claim an upload of the blob. */
async function isNoted({ registry, openState }: CutRun): Promise<boolean> {
  using state = await openState();
  const claimed = state.claim({ ...target, registry: registry.host });
  if (claimed !== undefined) state.leave({ ...target, registry: registry.host, ...claimed });
  return claimed !== undefined;
}

async function planned(
  { registry }: CutRun,
  source: MemoryAccessor,
  state: UploadState,
): Promise<PartialPlan | undefined> {
  await using access = openAccess({ uploadState: state });
  await using destination = await destinationAt(access, registry, 'app:v1');
  const memory = new MemoryBudget(MiB).openAccount();
  using plan = await destination.planBlobPartial(source, info, { memory });
  return plan;
}

async function assertDone(run: CutRun): Promise<void> {
  assert.ok(run.registry.blob('app', info.digest)?.equals(blob));
  assert.deepEqual(run.registry.sessions, []);
  assert.equal(await isNoted(run), false);
}

test('an interrupted upload of 16 MiB or more is left open, and a later run resumes it', async (t) => {
  for (const locations of ['relative', 'absolute', 'with-query'] as const) {
    const run = await startRun(t, { locations });
    await interrupt(run, { received: 20 * MiB });
    assert.equal(await isNoted(run), true);
    using state = await run.openState();
    const source = new MemoryAccessor(blob);
    run.registry.reset();
    const plan = await planned(run, source, state);
    assert.ok(plan !== undefined && plan.bytesResumed >= 20 * MiB, 'what was on its way is counted as well');
    assert.equal(plan.bytesToFetch, info.size - plan.bytesResumed);
    assert.deepEqual(
      [run.registry.count({ path: /uploads/ }), await isNoted(run)],
      [0, true],
      'it is neither asked for nor claimed',
    );
    const put = await putBlob(run.registry, source, info, { state });
    assert.equal(put.bytesReused, 20 * MiB);
    assert.equal(askedOf(source), 20 * MiB);
    assert.equal(run.registry.count({ method: 'POST' }), 0, locations);
    await assertDone(run);
  }
});

test('a shorter one is cancelled', async (t) => {
  const run = await startRun(t);
  using state = await run.openState();
  const failure = new Error('the end');
  const answer = ([chunk]: readonly { offset: number }[]): MemoryAnswer =>
    (chunk?.offset ?? 0) < 8 * MiB ? 'ranges' : failure;
  await assert.rejects(
    putBlob(run.registry, new MemoryAccessor(blob, { answer, latencyMs: 25 }), info, { state }),
    (e) => e === failure,
  );
  assert.equal(run.registry.count({ method: 'DELETE' }), 1);
  assert.deepEqual(run.registry.sessions, []);
  assert.equal(await isNoted(run), false);
});

test('a session that is gone, or empty, starts again', async (t) => {
  const gone = await startRun(t);
  await interrupt(gone, { received: 20 * MiB });
  gone.registry.expireSessions();
  const empty = await startRun(t);
  await interrupt(empty, { received: 20 * MiB });
  empty.registry.sessions[0]?.truncate(0);
  for (const run of [gone, empty]) {
    using state = await run.openState();
    const put = await putBlob(run.registry, new MemoryAccessor(blob), info, { state });
    assert.equal(put.bytesReused, 0);
    await assertDone(run);
  }
});

test('a session that holds the whole blob is only closed', async (t) => {
  const run = await startRun(t);
  await interrupt(run, { received: 20 * MiB });
  run.registry.sessions[0]?.append(blob.subarray(20 * MiB));
  run.registry.reset();
  using state = await run.openState();
  const source = new MemoryAccessor(blob);
  assert.equal((await putBlob(run.registry, source, info, { state })).bytesReused, info.size);
  assert.equal(source.requests.length, 0);
  assert.equal(run.registry.count(patches), 0);
  await assertDone(run);
});

test('a session that holds more than the blob is let go', async (t) => {
  const run = await startRun(t);
  await interrupt(run, { received: 20 * MiB });
  run.registry.sessions[0]?.append(Buffer.concat([blob.subarray(20 * MiB), Buffer.alloc(1)]));
  using state = await run.openState();
  assert.equal((await putBlob(run.registry, new MemoryAccessor(blob), info, { state })).bytesReused, 0);
  await assertDone(run);
});

test('wrong bytes of an earlier run are found by the registry; the session and its note go, the plain way follows', async (t) => {
  const run = await startRun(t);
  await interrupt(run, { received: 20 * MiB, bytes: randomBytes('other', 40 * MiB) });
  using state = await run.openState();
  await assert.rejects(putBlob(run.registry, new MemoryAccessor(blob), info, { state }), PartialBlobUnavailableError);
  assert.deepEqual(run.registry.sessions, []);
  assert.equal(run.registry.blob('app', info.digest), undefined);
  assert.equal(await isNoted(run), false);
});

test('a registry that says no to what it has, in its own way, is understood', async (t) => {
  for (const status of [400, 409, 422]) {
    const run = await startRun(t);
    await interrupt(run, { received: 20 * MiB });
    run.registry.behave({ match: { method: status === 409 ? 'PATCH' : 'PUT' }, status, body: 'no' });
    using state = await run.openState();
    await assert.rejects(putBlob(run.registry, new MemoryAccessor(blob), info, { state }), PartialBlobUnavailableError);
    assert.deepEqual(run.registry.sessions, [], `${status}`);
    assert.equal(await isNoted(run), false);
  }
});

test('a source that is at hand shows before the end that an earlier run had sent something else', async (t) => {
  const run = await startRun(t);
  await interrupt(run, { received: 20 * MiB, bytes: randomBytes('other', 40 * MiB) });
  using state = await run.openState();
  const source = new MemoryAccessor(blob, { rangeSupport: { isLocal: true, ranges: true, multiRange: true } });
  await assert.rejects(putBlob(run.registry, source, info, { state }), PartialBlobUnavailableError);
  assert.deepEqual(run.registry.sessions, []);
});

test('a source that is at hand is hashed from its first byte on', async (t) => {
  const run = await startRun(t);
  await interrupt(run, { received: 20 * MiB });
  const changed = Buffer.from(blob);
  changed[MiB] = (changed[MiB] ?? 0) ^ 1;
  run.registry.reset();
  using state = await run.openState();
  const source = new MemoryAccessor(changed, { rangeSupport: { isLocal: true, ranges: true, multiRange: true } });
  await assert.rejects(putBlob(run.registry, source, info, { state }), PartialBlobUnavailableError);
  assert.equal(run.registry.count({ method: 'PUT' }), 0);
  assert.deepEqual(run.registry.sessions, []);
});

test('two runs at once do not share a session', async (t) => {
  const run = await startRun(t);
  await interrupt(run, { received: 20 * MiB });
  using one = await run.openState();
  using other = await run.openState();
  const go = Promise.withResolvers<void>();
  run.registry.behave({ match: { ...patches, times: 1 }, hold: go.promise });
  const slow = putBlob(run.registry, new MemoryAccessor(blob), info, { state: one });
  await run.registry.until(() => run.registry.count(patches) === 2);
  const quick = await putBlob(run.registry, new MemoryAccessor(blob), info, { state: other });
  assert.equal(quick.bytesReused, 0, 'the session is the other run’s');
  go.resolve();
  assert.equal((await slow).bytesReused, 20 * MiB);
  await assertDone(run);
});

test('a run that fails before it has asked for the session leaves it as it was', async (t) => {
  const run = await startRun(t);
  await interrupt(run, { received: 20 * MiB });
  const dead = run.registry.behave({ match: { path: /uploads/ }, loseAnswer: 'reset' });
  using state = await run.openState();
  await assert.rejects(putBlob(run.registry, new MemoryAccessor(blob), info, { state }), {
    code: 'ERR_CONNECTION_LOST',
  });
  dead();
  assert.equal(run.registry.sessions.length, 1);
  assert.equal((await putBlob(run.registry, new MemoryAccessor(blob), info, { state })).bytesReused, 20 * MiB);
});

test('a run whose source fails at once leaves the session of the run before', async (t) => {
  const run = await startRun(t);
  await interrupt(run, { received: 20 * MiB });
  using state = await run.openState();
  const failure = new Error('no source');
  const failing = new MemoryAccessor(blob, { answer: () => failure });
  await assert.rejects(putBlob(run.registry, failing, info, { state }), (error) => error === failure);
  assert.equal(run.registry.sessions.length, 1);
  assert.equal((await putBlob(run.registry, new MemoryAccessor(blob), info, { state })).bytesReused, 20 * MiB);
  await assertDone(run);
});

test('a source that answers no ranges any more is read past what the session holds', async (t) => {
  const run = await startRun(t);
  await interrupt(run, { received: 20 * MiB });
  using state = await run.openState();
  const source = new MemoryAccessor(blob, { rangeSupport: { ranges: false }, givesWhole: true });
  assert.equal((await putBlob(run.registry, source, info, { state })).bytesReused, 20 * MiB);
  assert.deepEqual([source.wholes, source.requests], [1, []]);
  await assertDone(run);
});

test('a session at another origin is not left open: credentials might have to go there', async (t) => {
  const run = await startRun(t, { locations: 'other-origin' });
  await interrupt(run, { received: 20 * MiB });
  assert.deepEqual(run.registry.sessions, []);
  assert.equal(await isNoted(run), false);
});

test('a session with pieces of other blobs is for no other run', async (t) => {
  const [v1, v2] = [await fixtureImage('zstdchunked', 'v1'), await fixtureImage('zstdchunked', 'v2')];
  const registry = await startRegistry();
  t.after(() => registry.close());
  const run = { registry, openState: await stateHome(t) };
  const blobs = [v1.config, ...v1.layers].map(async ({ digest }) => [digest, await v1.blob(digest)] as const);
  const manifest = { ...v1.manifest, bytes: v1.manifestBytes, mediaType: v1.manifest.mediaType ?? '' };
  registry.seed('app', 'v1', { manifest, instances: [], blobs: new Map(await Promise.all(blobs)) });
  const layer = v2.layers[1];
  const bytes = await v2.blob(layer.digest);
  registry.behave({ match: patches, resetAfterRequestBytes: 1000 });
  using state = await run.openState();
  await assert.rejects(putBlob(registry, new MemoryAccessor(bytes), layer, { state, layerIndex: 1 }));
  assert.deepEqual(registry.sessions, []);
});
