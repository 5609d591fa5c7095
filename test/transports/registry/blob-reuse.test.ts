import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { noCache } from '../../../src/cache/no-cache.ts';
import type { RegistryDestination } from '../../../src/transports/registry/registry-destination.ts';
import type { BlobInfoCache } from '../../../src/contract/blob-info-cache.ts';
import type { ReusedBlob } from '../../../src/contract/image-destination.ts';
import { buildImage, randomBytes } from '../../support/images.ts';
import { startRegistry, type TestRegistry } from '../../support/registry.ts';
import { cacheKnowing, destinationAt, infoOf, openAccess } from '../../support/registry-transport.ts';

const blob = randomBytes('reuse', 1000);
const info = infoOf(blob);
const other = infoOf(randomBytes('reuse another', 1000));
const here = { reused: true, digest: info.digest, size: info.size };

async function ask(
  destination: RegistryDestination,
  wanted = info,
  cache: BlobInfoCache = noCache(),
): Promise<ReusedBlob> {
  return await destination.tryReusingBlobWithOptions(wanted, { cache });
}

/** Methods of the requests since the last look, and forgets them. */
function methods(registry: TestRegistry): string {
  const seen = registry.requests.map(({ method }) => method).toSorted();
  registry.reset();
  return seen.join(' ');
}

async function put(destination: RegistryDestination, bytes = blob): Promise<void> {
  await destination.putBlobWithOptions(Readable.from([bytes]), infoOf(bytes), {});
}

/** A destination that has learnt that there is no image under its name. */
async function emptyDestination(...args: Parameters<typeof destinationAt>): Promise<RegistryDestination> {
  const destination = await destinationAt(...args);
  await destination.currentManifest();
  args[1].reset();
  return destination;
}

test('asks by HEAD and by a mount from itself at once, until a 201 and a 202 were both right', async () => {
  await using registry = await startRegistry();
  registry.seedBlob('app', blob);
  await using access = openAccess();
  await using destination = await emptyDestination(access, registry, 'app:v1');
  assert.equal(destination.expectsMissing(info), true);
  assert.deepEqual(await ask(destination, other), { reused: false });
  assert.equal(methods(registry), 'HEAD POST');
  assert.deepEqual(await ask(destination), here);
  assert.equal(methods(registry), 'HEAD POST', 'one answer proves nothing');
  await using second = await emptyDestination(access, registry, 'app:v2');
  assert.deepEqual(await ask(second), here);
  assert.deepEqual(await ask(second, other), { reused: false });
  assert.equal(methods(registry), 'POST POST', 'no HEAD once it is proven, for all destinations of a run');
});

test('never mounts from itself again where a 201 came for a blob that a HEAD does not find', async () => {
  await using registry = await startRegistry({ mount: 'lie' });
  await using access = openAccess();
  await using destination = await emptyDestination(access, registry, 'app:v1');
  const abilities: (readonly [string, number])[] = [];
  const recordHostAbility: BlobInfoCache['recordHostAbility'] = (_host, ability, value) =>
    void abilities.push([ability, value]);
  const cache = { ...noCache(), recordHostAbility };
  assert.deepEqual(await ask(destination, other, cache), { reused: false });
  registry.seedBlob('app', blob);
  registry.reset();
  assert.deepEqual(await ask(destination, info, cache), here);
  assert.equal(registry.count({ path: /mount=/ }), 0);
  assert.deepEqual(new Set(abilities.map(String)), new Set(['self-mount,0']));
});

test('looks by HEAD alone where it was wrong, and trusts mounts from itself no more', async () => {
  await using registry = await startRegistry({ mount: 'lie' });
  await using access = openAccess();
  await using destination = await emptyDestination(access, registry, 'app:v1');
  const abilities: number[] = [];
  const recordHostAbility: BlobInfoCache['recordHostAbility'] = (_host, _ability, value) => void abilities.push(value);
  const cache = { ...cacheKnowing({ 'self-mount': 1 }), recordHostAbility };
  assert.deepEqual(await ask(destination, info, cache), here, 'so the cache says');
  registry.reset();
  const look = { cache, lookOnly: true };
  assert.deepEqual(await destination.tryReusingBlobWithOptions(info, look), { reused: false });
  assert.equal(methods(registry), 'HEAD');
  assert.equal(abilities.at(-1), 0);
  registry.seedBlob('app', blob);
  assert.deepEqual(await destination.tryReusingBlobWithOptions(info, look), here);
});

test('asks for nothing again after a miss: the upload that it opened is used (behaviours 62 and 67)', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  await using destination = await emptyDestination(access, registry, 'app:v1');
  assert.deepEqual(await ask(destination), { reused: false });
  assert.equal(methods(registry), 'HEAD POST');
  await put(destination);
  assert.equal(methods(registry), 'PUT');
  assert.deepEqual(registry.blob('app', info.digest), blob);
});

test('lets the HEAD win where a host answers every mount with 202, and cancels the upload', async () => {
  await using registry = await startRegistry({ mount: 'always-202' });
  registry.seedBlob('app', blob);
  await using access = openAccess();
  await using destination = await emptyDestination(access, registry, 'app:v1');
  assert.deepEqual(await ask(destination), here);
  assert.equal(methods(registry), 'DELETE HEAD POST');
  assert.equal(registry.sessions.length, 0);
  await ask(destination, other);
  assert.equal(registry.count({ path: /mount=/ }), 0, 'no mounts once they are useless');
});

test('does not take the 201 of a mount for a proof while the HEAD beside it says 404', async () => {
  await using registry = await startRegistry({ mount: 'lie' });
  await using access = openAccess();
  await using destination = await emptyDestination(access, registry, 'app:v1');
  assert.deepEqual(await ask(destination), { reused: false });
  await put(destination);
  assert.deepEqual(registry.blob('app', info.digest), blob);
});

const MB = 1024 * 1024;
const small = Array.from({ length: 8 }, (_, index) => randomBytes(`small ${index}`, 1000));

test('asks for small blobs by the POST alone, once six others were not there by HEAD', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  await using destination = await emptyDestination(access, registry, 'app:v1');
  const asked = await Promise.all(small.map((bytes) => ask(destination, infoOf(bytes))));
  assert.deepEqual(new Set(asked.map(({ reused }) => reused)), new Set([false]));
  assert.deepEqual([registry.count({ method: 'HEAD' }), registry.count({ method: 'POST' })], [6, small.length]);
  registry.reset();
  registry.seedBlob('app', blob);
  assert.deepEqual(await ask(destination), here, 'what the POST mounts is there');
  assert.equal(methods(registry), 'HEAD POST', 'if a HEAD says so too');
});

test('asks for each blob by HEAD where the first ones were there, or are not told of', async () => {
  for (const heads of ['there', 405] as const) {
    await using registry = await startRegistry({ mount: 'always-202' });
    if (heads === 405) registry.behave({ match: { method: 'HEAD' }, status: 405 });
    else for (const bytes of small) registry.seedBlob('app', bytes);
    await using access = openAccess();
    await using destination = await emptyDestination(access, registry, 'app:v1');
    const asked = await Promise.all(small.map((bytes) => ask(destination, infoOf(bytes))));
    assert.deepEqual(new Set(asked.map(({ reused }) => reused)), new Set([heads === 'there']));
    assert.equal(registry.count({ method: 'HEAD' }), small.length);
  }
});

test('asks for every blob of more than 1 MiB by HEAD, and for small ones once 32 MiB were sent without', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  await using destination = await emptyDestination(access, registry, 'app:v1');
  await Promise.all(small.slice(0, 6).map((bytes) => ask(destination, infoOf(bytes))));
  registry.reset();
  const sized = (size: number, index: number): typeof info => ({
    ...infoOf(randomBytes(`${size} ${index}`, 10)),
    size,
  });
  await ask(destination, sized(MB + 1, 0));
  assert.equal(methods(registry), 'HEAD POST');
  for (let index = 0; index < 32; index += 1) await ask(destination, sized(MB, index));
  assert.equal(registry.count({ method: 'HEAD' }), 0);
  await ask(destination, sized(MB, 32));
  assert.equal(registry.count({ method: 'HEAD' }), 1);
});

test('sends the blob by a plain POST where mounts are refused, whatever the answer', async () => {
  for (const mount of [400, 405, 500] as const) {
    await using registry = await startRegistry({ mount });
    await using access = openAccess();
    await using destination = await emptyDestination(access, registry, 'app:v1');
    assert.deepEqual(await ask(destination), { reused: false });
    registry.reset();
    await put(destination);
    assert.equal(methods(registry), 'POST PUT');
    assert.deepEqual(registry.blob('app', info.digest), blob);
    await ask(destination, other);
    assert.equal(registry.count({ path: /mount=/ }), 0, `${mount}: not tried again`);
  }
});

test('takes a HEAD that is refused for unknown, and relies on the mount (behaviour 61)', async () => {
  for (const status of [401, 403, 405]) {
    await using registry = await startRegistry();
    registry.behave({ match: { method: 'HEAD' }, status });
    registry.seedBlob('app', blob);
    await using access = openAccess();
    await using destination = await emptyDestination(access, registry, 'app:v1');
    assert.deepEqual(await ask(destination), here, `${status}`);
    assert.deepEqual(await ask(destination, other), { reused: false });
  }
});

test('does not take a blob of another size for the one that it looks for', async () => {
  await using registry = await startRegistry({ mount: 'always-202' });
  registry.seedBlob('app', blob.subarray(1), info.digest);
  await using access = openAccess();
  await using destination = await emptyDestination(access, registry, 'app:v1');
  assert.deepEqual(await ask(destination), { reused: false });
});

test('asks by HEAD alone for a blob of the image that is there now', async () => {
  const image = buildImage({ layers: [blob] });
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  await using access = openAccess();
  await using destination = await emptyDestination(access, registry, 'app:v1');
  assert.equal(destination.expectsMissing(info), false);
  assert.equal(destination.expectsMissing(other), true);
  assert.deepEqual(await ask(destination), here);
  assert.equal(methods(registry), 'HEAD');
});

test('waits for no mount after a HEAD that says 404: the POST goes beside the reading of the blob', async () => {
  const image = buildImage({ layers: [blob] });
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  registry.remove('app', info.digest);
  await using access = openAccess();
  await using destination = await emptyDestination(access, registry, 'app:v1');
  assert.deepEqual(await ask(destination), { reused: false });
  assert.equal(methods(registry), 'HEAD');
});

test('mounts from the source repository on the same registry without looking first (behaviour 68)', async () => {
  await using registry = await startRegistry();
  registry.seedBlob('team/base', blob);
  await using access = openAccess();
  await using destination = await emptyDestination(access, registry, 'app:v1');
  const srcRef = { registry: registry.host, repository: 'team/base' };
  assert.equal(destination.expectsMissing(info, { srcRef }), false);
  const found = await destination.tryReusingBlobWithOptions(info, { srcRef });
  assert.deepEqual(found, { ...here, mountedFrom: 'team/base' });
  assert.equal(methods(registry), 'POST');
});

test('uses the upload that a declined mount has opened: no second POST (behaviour 67)', async () => {
  await using registry = await startRegistry({ mount: 'always-202' });
  registry.seedBlob('base', blob);
  await using access = openAccess();
  await using destination = await emptyDestination(access, registry, 'app:v1');
  const srcRef = { registry: registry.host, repository: 'base' };
  assert.deepEqual(await destination.tryReusingBlobWithOptions(info, { srcRef }), { reused: false });
  await put(destination);
  assert.equal(methods(registry), 'HEAD POST PUT');
});

test('looks whether the blob is there when a mount is declined or refused, and cancels the upload', async () => {
  for (const mount of ['always-202', 400, 500] as const) {
    await using registry = await startRegistry({ mount });
    registry.seedBlob('app', blob);
    await using access = openAccess();
    await using destination = await emptyDestination(access, registry, 'app:v1');
    const srcRef = { registry: registry.host, repository: 'base' };
    const found = await destination.tryReusingBlobWithOptions(info, { srcRef });
    assert.deepEqual(found, here);
    assert.equal(registry.sessions.length, 0);
  }
});

test('mounts nothing from another registry, nor from itself as if it were another', async () => {
  await using registry = await startRegistry();
  registry.seedBlob('app', blob);
  await using access = openAccess();
  for (const srcRef of [
    { registry: 'other.test', repository: 'base' },
    { registry: registry.host, repository: 'app' },
  ]) {
    await using destination = await emptyDestination(access, registry, 'app:v1');
    assert.deepEqual(await destination.tryReusingBlobWithOptions(info, { srcRef }), here);
    const froms = registry.requests.map(({ path }) => /from=(.*)$/.exec(path)?.[1]);
    assert.ok(froms.every((from) => from === undefined || from === 'app'));
  }
});

test('keeps to what an earlier run has learnt of the host', async () => {
  for (const [ability, seen] of [
    [1, 'POST'],
    [0, 'HEAD POST'],
  ] as const) {
    await using registry = await startRegistry();
    await using access = openAccess();
    await using destination = await emptyDestination(access, registry, 'app:v1');
    await ask(destination, info, cacheKnowing({ 'self-mount': ability }));
    assert.equal(registry.count({ path: /mount=/ }), ability);
    assert.equal(methods(registry), seen);
  }
});
