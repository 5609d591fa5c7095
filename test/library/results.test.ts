import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
import { test } from 'node:test';
import { digestOf } from '../../src/digest/digest.ts';
import { copyImage, createCopier, type CopyEvent, type HttpRequest } from '../../src/index.ts';
import { buildImage, buildIndex, randomBytes } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const [kept, added] = [randomBytes('kept', 3000), randomBytes('added', 2000)];
const old = buildImage({ layers: [kept] });
const image = buildImage({ layers: [kept, added] });
const [config = Buffer.alloc(0)] = [...image.blobs.values()];
const plain = { source: { plainHttp: true }, destination: { plainHttp: true } };

test('tells what a copy came to, in bytes and requests (behaviour 35)', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', image);
  to.seed('copy', 'v1', old);
  const { durationMs, ...result } = await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
  assert.ok(Number.isInteger(durationMs) && durationMs >= 0);
  const { digest, mediaType, bytes } = image.manifest;
  assert.deepEqual(result, {
    source: at(from, 'app:v1'),
    destination: at(to, 'copy:v1'),
    reference: at(to, `copy@${digest}`),
    digest,
    mediaType,
    size: bytes.length,
    imageId: digestOf(config),
    manifests: 1,
    blobs: { total: 3, reused: 1, mounted: 0, partial: 0, copied: 2 },
    bytes: {
      total: kept.length + added.length + config.length,
      fetched: added.length + config.length,
      reused: kept.length,
      uploaded: added.length + config.length,
    },
    requests: { source: from.count(), destination: to.count() },
    retries: 0,
    servedFrom: [
      {
        address: `${from.host}/app`,
        manifests: 1,
        blobs: 2,
        bytes: added.length + config.length,
      },
    ],
    skipped: null,
  });
});

test('counts the retries of both sides, and reports each', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', image);
  from.behave({ match: { path: /\/blobs\//, times: 2 }, status: 503 });
  to.behave({ match: { method: 'PUT', path: /\/manifests\//, times: 1 }, status: 502 });
  const { retries, requests } = await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
  assert.equal(retries, 3);
  assert.deepEqual(requests, { source: from.count(), destination: to.count() });
  const sides = copier.events.flatMap((event) => (event.type === 'retry' ? [event.side] : []));
  assert.deepEqual(sides.toSorted(), ['destination', 'source', 'source']);
});

test('reports each step of a copy in its order', async (t) => {
  const images = ['amd64', 'arm64'].map((architecture) => ({
    platform: { os: 'linux', architecture },
    image: buildImage({ layers: [kept, randomBytes(architecture, 500)], platform: { os: 'linux', architecture } }),
  }));
  const index = buildIndex({ images });
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', index);
  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
  const { events } = copier;
  assert.deepEqual(events[0], { type: 'started', source: at(from, 'app:v1'), destination: at(to, 'copy:v1') });
  assert.deepEqual(events.at(-1), { type: 'done', digest: index.manifest.digest });
  const manifests = events.flatMap((event) => (event.type === 'manifest' ? [`${event.digest} ${event.platform}`] : []));
  assert.equal(manifests[0], `${index.manifest.digest} undefined`);
  assert.deepEqual(
    manifests.slice(1).toSorted(),
    images.map(({ image: one, platform }) => `${one.manifest.digest} linux/${platform.architecture}`).toSorted(),
  );
  const planned = events.filter((event) => event.type === 'planned').at(-1);
  const sizes = [...index.blobs.values()].map(({ length }) => length);
  assert.deepEqual([planned?.blobs, planned?.bytes], [sizes.length, sizes.reduce((sum, size) => sum + size, 0)]);
  for (const [digest, bytes] of index.blobs) assertReported(events, digest, bytes.length);
});

function assertReported(events: readonly CopyEvent[], digest: string, size: number): void {
  const mine = events.filter((event) => 'digest' in event && event.digest === digest);
  assert.deepEqual([mine[0]?.type, mine.at(-1)?.type], ['blob-started', 'blob-done']);
  const progress = mine.flatMap((event) => (event.type === 'blob-progress' ? [event.bytes] : []));
  assert.equal(progress.at(-1), size);
  assert.deepEqual(
    progress,
    progress.toSorted((a, b) => a - b),
  );
}

test('shows every request to who asks for it', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', image);
  const seen: HttpRequest[] = [];
  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { onRequest: (request) => void seen.push(request) });
  assert.deepEqual(
    seen.map(({ method, url }) => `${method} ${url.host}${url.pathname}${url.search}`).toSorted(),
    [from, to]
      .flatMap((registry) => registry.requests.map(({ method, path }) => `${method} ${registry.host}${path}`))
      .toSorted(),
  );
});

test('copies one image without a copier to look after', async (t) => {
  const { env } = await openHome(t);
  await using from = await startRegistry();
  await using to = await startRegistry();
  from.seed('app', 'v1', image);
  const { digest } = await copyImage(at(from, 'app:v1'), at(to, 'copy:v1'), { ...plain, env });
  assert.deepEqual(to.manifest('copy', 'v1')?.digest, digest);
});

test('opens nothing that no copy needs', async (t) => {
  const { env, path } = await openHome(t);
  {
    await using unused = createCopier({ env });
    assert.ok(unused);
  }
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  registry.seed('copy', 'v1', image);
  {
    await using copier = createCopier({ env });
    await copier.copy(at(registry, 'app:v1'), at(registry, 'copy:v1'), plain);
  }
  await assert.rejects(access(`${path}/cache`), { code: 'ENOENT' });
  await assert.rejects(access(`${path}/state`), { code: 'ENOENT' });
});

test('runs several copies at once, each with its own events, one failure leaving the others alone', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  const tags = ['v1', 'v2', 'v3'];
  for (const tag of tags) from.seed('app', tag, buildImage({ layers: [kept, randomBytes(tag, 1000)] }));
  const done = new Map<string, string[]>();
  const copies = [...tags, 'missing'].map((tag) => {
    const events: string[] = [];
    done.set(tag, events);
    const onEvent = (event: CopyEvent): void => void (event.type === 'done' && events.push(event.digest));
    return copier.copy(at(from, `app:${tag}`), at(to, `copy:${tag}`), { onEvent });
  });
  const outcomes = await Promise.allSettled(copies);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'fulfilled', 'rejected'],
  );
  for (const tag of tags) assert.deepEqual(done.get(tag), [from.manifest('app', tag)?.digest]);
  assert.deepEqual(done.get('missing'), []);
  assert.deepEqual(to.tags('copy').toSorted(), tags);
});
