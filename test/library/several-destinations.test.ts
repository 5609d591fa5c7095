import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import {
  createCopier,
  ImgcopyError,
  type Copier,
  type CopierOptions,
  type CopyEvent,
  type DestinationOutcome,
} from '../../src/index.ts';
import { digestOf } from '../../src/digest/digest.ts';
import { buildImage, buildIndex, randomBytes, type TestImage } from '../support/images.ts';
import { startRegistry, type RequestRecord, type TestRegistry } from '../support/registry.ts';
import { index as signedIndex, referrers, seedSigned, tagged } from './signed-image.ts';
import { at, openHome } from './test-copier.ts';

const http = { source: { plainHttp: true }, destination: { plainHttp: true } };
const small = buildImage({ layers: { count: 4, size: 300_000 } });
const mixed = buildImage({
  layers: [randomBytes('tiny', 5_000), randomBytes('middle', 6_000_000), randomBytes('large', 40_000_000)],
});
const amd64 = { os: 'linux', architecture: 'amd64' };
const arm64 = { os: 'linux', architecture: 'arm64' };
const base = randomBytes('base', 200_000);
const index = buildIndex({
  images: [
    { image: buildImage({ layers: [base, randomBytes('amd64', 700_000)], platform: amd64 }), platform: amd64 },
    { image: buildImage({ layers: [base, randomBytes('arm64', 900_000)], platform: arm64 }), platform: arm64 },
  ],
});

async function openCopier(t: TestContext, options: CopierOptions = {}): Promise<Copier> {
  const { env } = await openHome(t);
  const copier = createCopier({ env, retryDelayMs: 1, ...options });
  t.after(() => copier[Symbol.asyncDispose]());
  return copier;
}

const isBlobRead = { method: 'GET', path: /\/blobs\/sha256:/ };

function bytesRead(registry: TestRegistry): number {
  return registry.select(isBlobRead).reduce((sum, { bytesSent }) => sum + bytesSent, 0);
}

function sizeOf(image: TestImage): number {
  return [...image.blobs.values()].reduce((sum, { length }) => sum + length, 0);
}

function codeOf(error: Error | undefined): string | undefined {
  return error instanceof ImgcopyError ? error.code : error?.name;
}

/** What of each destination was copied, or why it failed. */
function ends(outcomes: readonly DestinationOutcome[]): readonly (string | undefined)[] {
  return outcomes.map(({ result, error }) => result?.digest ?? codeOf(error));
}

for (const [what, image] of Object.entries({ 'small blobs': small, 'large blobs': mixed, 'an index': index })) {
  test(`${what}: the source is read once for three registries, and each has the whole image`, async (t) => {
    await using source = await startRegistry();
    await using first = await startRegistry();
    await using second = await startRegistry();
    await using third = await startRegistry();
    source.seed('app', 'v1', image);
    await using other = await startRegistry();
    await (await openCopier(t)).copy(at(source, 'app:v1'), at(other, 'app:v1'), http);
    const alone = bytesRead(source);
    source.reset();
    const to = [at(first, 'app:v1'), at(second, 'mirror/app:v1'), at(third, 'app:v1')];
    const outcomes = await (await openCopier(t)).copy(at(source, 'app:v1'), to, http);
    assert.deepEqual(
      ends(outcomes),
      to.map(() => image.manifest.digest),
    );
    assert.deepEqual(
      outcomes.map(({ destinationId }) => destinationId),
      to,
    );
    for (const [registry, name] of [
      [first, 'app'],
      [second, 'mirror/app'],
      [third, 'app'],
    ] as const) {
      assert.deepEqual(registry.manifest(name, 'v1'), image.manifest);
      for (const [digest, bytes] of image.blobs) assert.ok(registry.blob(name, digest)?.equals(bytes));
      assert.deepEqual(registry.sessions, []);
    }
    assert.ok(bytesRead(source) <= alone * 1.01, `${bytesRead(source)} bytes instead of ${alone}`);
    assert.ok(bytesRead(source) >= sizeOf(image));
    assert.equal(source.count({ method: 'GET', path: /\/manifests\// }), image.instances.length + 1);
  });
}

test('each destination gets what it lacks, and no other', async (t) => {
  await using source = await startRegistry();
  await using whole = await startRegistry();
  await using some = await startRegistry();
  await using none = await startRegistry();
  source.seed('app', 'v1', small);
  whole.seed('app', 'v1', small);
  const [one, two] = [...small.blobs] as [[string, Buffer], [string, Buffer]];
  for (const [, bytes] of [one, two]) some.seedBlob('app', bytes);
  const copier = await openCopier(t);
  const outcomes = await copier.copy(
    at(source, 'app:v1'),
    [whole, some, none].map((registry) => at(registry, 'app:v1')),
    http,
  );
  assert.deepEqual(
    outcomes.map(({ result }) => [result?.skipped, result?.blobs.reused, result?.blobs.copied]),
    [
      ['same', 0, 0],
      [null, 2, 3],
      [null, 0, 5],
    ],
  );
  assert.equal(bytesRead(source), sizeOf(small));
  assert.equal(whole.count({ when: ({ method }) => method !== 'GET' && method !== 'HEAD' }), 0);
});

test('on one registry the first gets the bytes, and the others mount from it', async (t) => {
  await using source = await startRegistry();
  await using target = await startRegistry();
  source.seed('app', 'v1', small);
  const copier = await openCopier(t);
  const to = ['first/app:v1', 'second/app:v1', 'first/app:v2'].map((name) => at(target, name));
  const outcomes = await copier.copy(at(source, 'app:v1'), to, http);
  assert.deepEqual(
    outcomes.map(({ result }) => [result?.blobs.copied, result?.blobs.mounted, result?.blobs.reused]),
    [
      [5, 0, 0],
      [0, 5, 0],
      [0, 0, 5],
    ],
  );
  assert.equal(bytesRead(source), sizeOf(small));
  assert.deepEqual([target.tags('first/app'), target.tags('second/app')], [['v1', 'v2'], ['v1']]);
  const uploaded = target.select({ path: /\/blobs\/uploads\// }).reduce((sum, { bodyBytes }) => sum + bodyBytes, 0);
  assert.equal(uploaded, sizeOf(small));
});

test('where the first one on a registry fails, the next gets the bytes', async (t) => {
  await using source = await startRegistry();
  await using target = await startRegistry();
  source.seed('app', 'v1', small);
  target.behave({ match: { method: 'POST', path: /\/first\/app\/blobs\/uploads/ }, status: 403 });
  const copier = await openCopier(t);
  const to = ['first/app:v1', 'second/app:v1', 'third/app:v1'].map((name) => at(target, name));
  const outcomes = await copier.copy(at(source, 'app:v1'), to, http);
  assert.deepEqual(ends(outcomes), ['ERR_DENIED', small.manifest.digest, small.manifest.digest]);
  assert.deepEqual(
    outcomes.map(({ result }) => [result?.blobs.copied, result?.blobs.mounted]),
    [
      [undefined, undefined],
      [5, 0],
      [0, 5],
    ],
  );
});

test('a registry that refuses mounts gets the bytes for each of its repositories', async (t) => {
  await using source = await startRegistry();
  await using target = await startRegistry({ mount: 'always-202' });
  source.seed('app', 'v1', small);
  const copier = await openCopier(t);
  const outcomes = await copier.copy(at(source, 'app:v1'), [at(target, 'one:v1'), at(target, 'two:v1')], http);
  assert.deepEqual(ends(outcomes), [small.manifest.digest, small.manifest.digest]);
  assert.deepEqual(target.sessions, []);
});

test('all destinations are looked at before anything is written to one of them', async (t) => {
  await using source = await startRegistry();
  await using first = await startRegistry();
  await using second = await startRegistry();
  source.seed('app', 'v1', small);
  const writes = { when: ({ method }: { method: string }) => method !== 'GET' && method !== 'HEAD' };
  let written: number | undefined;
  second.behave({
    match: { method: 'GET', path: /\/manifests\/v1$/, times: 1 },
    call: () => void (written = first.count(writes)),
  });
  const copier = await openCopier(t);
  const outcomes = await copier.copy(at(source, 'app:v1'), [at(first, 'app:v1'), at(second, 'app:v1')], http);
  assert.deepEqual(ends(outcomes), [small.manifest.digest, small.manifest.digest]);
  assert.equal(written, 0);
});

test('a destination that cannot be reached, and one that fails in mid-blob, do not stop the others', async (t) => {
  await using source = await startRegistry();
  await using good = await startRegistry();
  await using bad = await startRegistry();
  const gone = await startRegistry();
  const goneName = at(gone, 'app:v1');
  await gone.close();
  source.seed('app', 'v1', mixed);
  bad.behave({ match: { method: 'PATCH' }, resetAfterRequestBytes: 3_000_000 });
  const copier = await openCopier(t, { retryTimes: 1 });
  const events: CopyEvent[] = [];
  const outcomes = await copier.copy(at(source, 'app:v1'), [goneName, at(good, 'app:v1'), at(bad, 'app:v1')], {
    ...http,
    onEvent: (event) => void events.push(event),
  });
  const [none, whole, cut] = outcomes;
  assert.equal(whole?.result?.digest, mixed.manifest.digest);
  assert.equal(codeOf(none?.error), 'ERR_CONNECTION_REFUSED');
  assert.ok(cut?.error !== undefined);
  assert.ok(cut.error instanceof ImgcopyError);
  assert.equal(cut.error.destinationId, at(bad, 'app:v1'));
  assert.deepEqual(good.manifest('app', 'v1'), mixed.manifest);
  assert.equal(bad.manifest('app', 'v1'), undefined);
  const done = events.filter(({ type }) => type === 'done').map(({ destinationId }) => destinationId);
  assert.deepEqual(done, [at(good, 'app:v1')]);
});

test('a destination that stalls is given up by the timeout, and the others are not held up for longer', async (t) => {
  await using source = await startRegistry();
  await using good = await startRegistry();
  await using asked = await startRegistry();
  await using moving = await startRegistry({ leavesSessions: true });
  source.seed('app', 'v1', mixed);
  asked.behave({ match: { path: /\/blobs\// }, stall: true });
  moving.behave({ match: { method: 'PATCH' }, stallAfterRequestBytes: 1_000_000 });
  const copier = await openCopier(t, { retryTimes: 0, timeoutMs: 400 });
  const to = [asked, good, moving].map((registry) => at(registry, 'app:v1'));
  const outcomes = await copier.copy(at(source, 'app:v1'), to, http);
  assert.deepEqual(
    outcomes.map(({ error }) => error === undefined),
    [false, true, false],
  );
  assert.deepEqual(good.manifest('app', 'v1'), mixed.manifest);
});

test('a source that dies in mid-blob fails for all, and each resumes', async (t) => {
  await using source = await startRegistry();
  await using first = await startRegistry({ keepCutSessions: true });
  await using second = await startRegistry({ keepCutSessions: true });
  const { env } = await openHome(t);
  const layer = randomBytes('resumed', 40_000_000);
  const image = buildImage({ layers: [layer] });
  source.seed('app', 'v1', image);
  const path = new RegExp(`/blobs/${digestOf(layer)}$`);
  const isBeyond = ({ range }: RequestRecord): boolean => !(Number(/\d+/.exec(range ?? '')?.[0]) < 20_000_000);
  source.behave({ match: { method: 'GET', path, when: isBeyond }, status: 404 });
  // However long the ranges are that it is asked for.
  source.behave({ match: { method: 'GET', path }, cutAfterBytes: 10_000_000 });
  const to = [at(first, 'app:v1'), at(second, 'app:v1')];
  {
    await using copier = createCopier({ env, retryDelayMs: 1, retryTimes: 1 });
    const outcomes = await copier.copy(at(source, 'app:v1'), to, http);
    assert.deepEqual(ends(outcomes), ['ERR_NOT_FOUND', 'ERR_NOT_FOUND']);
  }
  source.behaveWell();
  source.reset();
  await using copier = createCopier({ env, retryDelayMs: 1 });
  const resumed: number[] = [];
  const outcomes = await copier.copy(at(source, 'app:v1'), to, {
    ...http,
    onEvent: (event) => void (event.type === 'blob-done' && event.bytesResumed > 0 && resumed.push(event.bytesResumed)),
  });
  assert.deepEqual(ends(outcomes), [image.manifest.digest, image.manifest.digest]);
  assert.equal(resumed.length, 2);
  assert.ok(
    bytesRead(source) < 40_000_000 - Math.min(...resumed) + 1_000_000,
    `${bytesRead(source)} bytes, resumed at ${String(resumed)}`,
  );
});

test('directories, layouts and archives are destinations beside registries, and the source is read once', async (t) => {
  await using source = await startRegistry();
  await using target = await startRegistry();
  source.seed('app', 'v1', index);
  const { path } = await openHome(t);
  const copier = await openCopier(t);
  const local = [`dir:${join(path, 'dir')}`, `oci:${join(path, 'layout')}:a`, `oci:${join(path, './layout')}:b`];
  const to = [...local, at(target, 'app:v1'), `oci-archive:${join(path, 'image.tar')}:v1`];
  const outcomes = await copier.copy(at(source, 'app:v1'), to, http);
  assert.deepEqual(
    ends(outcomes),
    to.map(() => index.manifest.digest),
  );
  assert.equal(bytesRead(source), sizeOf(index));
  for (const name of [...local, to[4] ?? '']) assert.equal(await copier.digest(name), index.manifest.digest);
});

test('archives of one platform take theirs beside an index', async (t) => {
  await using source = await startRegistry();
  await using target = await startRegistry();
  source.seed('app', 'v1', index);
  const { path } = await openHome(t);
  const copier = await openCopier(t);
  const to = [
    at(target, 'app:v1'),
    `docker-archive:${join(path, 'image.tar')}:app:v1`,
    `oci-archive:${join(path, 'oci.tar')}`,
  ];
  const outcomes = await copier.copy(at(source, 'app:v1'), to, http);
  assert.deepEqual(
    outcomes.map(({ error }) => error),
    [undefined, undefined, undefined],
  );
  assert.equal(outcomes[0]?.result?.digest, index.manifest.digest);
});

test('destinations that cannot go together are refused before anything is asked of them', async (t) => {
  await using source = await startRegistry();
  await using one = await startRegistry();
  await using two = await startRegistry();
  source.seed('app', 'v1', small);
  const copier = await openCopier(t);
  const from = at(source, 'app:v1');
  const secret = { ...http, destination: { plainHttp: true, username: 'user', password: 'secret' } };
  const code = (expected: string) => (error: Error & { code?: string; kind?: string }) =>
    error.code === expected && error.kind === 'usage';
  await assert.rejects(copier.copy(from, [], http), code('ERR_USAGE'));
  await assert.rejects(copier.copy(from, [at(one, 'app:v1'), at(one, 'app:v1')], http), code('ERR_SAME_PLACE'));
  await assert.rejects(copier.copy(from, [at(one, 'app:v1'), at(one, 'app')], http), code('ERR_SAME_PLACE'));
  await assert.rejects(copier.copy(from, [at(one, 'app:v1'), from], http), code('ERR_SAME_PLACE'));
  await assert.rejects(copier.copy(from, ['dir:here', 'dir:./here'], http), code('ERR_SAME_PLACE'));
  await assert.rejects(copier.copy(from, ['dir:here', 'oci:./here:v1'], http), code('ERR_SAME_PLACE'));
  await assert.rejects(copier.copy(from, ['oci-archive:here', 'docker-archive:./here'], http), code('ERR_SAME_PLACE'));
  await assert.rejects(
    copier.copy(from, [at(one, 'app:v1'), at(two, 'app:v1')], secret),
    code('ERR_SECRET_FOR_SEVERAL'),
  );
  await assert.rejects(copier.copy(from, [at(one, 'app:v1'), at(two, 'not a name')], http), {
    name: 'InvalidReferenceError',
  });
  assert.deepEqual([one.requests, two.requests], [[], []]);
  const outcomes = await copier.copy(from, [at(one, 'app:v1'), at(one, 'other:v1')], secret);
  assert.deepEqual(ends(outcomes), [small.manifest.digest, small.manifest.digest]);
});

for (const hasApi of [true, false]) {
  test(`what refers to an image goes to each destination, and is read once, ${hasApi ? 'by the referrers API' : 'by fallback tags'}`, async (t) => {
    await using source = await startRegistry({ referrers: hasApi });
    await using one = await startRegistry({ referrers: true });
    await using two = await startRegistry({ referrers: false });
    seedSigned(source);
    const layout = `oci:${join((await openHome(t)).path, 'layout')}:v1`;
    const to = [at(one, 'copy:v1'), at(two, 'copy:v1'), at(one, 'other:v1'), layout];
    const copier = await openCopier(t);
    const outcomes = await copier.copy(at(source, 'app:v1'), to, { ...http, referrers: true });
    assert.deepEqual(
      ends(outcomes),
      to.map(() => signedIndex.manifest.digest),
    );
    const all = [...Object.values(referrers), ...Object.values(tagged)];
    for (const { result } of outcomes) assert.deepEqual(result?.referrers, { total: 8, copied: 8, missing: 0 });
    const isRead = new Map<string, number>();
    for (const { path } of source.select({ method: 'GET', path: /\/(?:blobs|manifests)\// }))
      isRead.set(path, (isRead.get(path) ?? 0) + 1);
    for (const { manifest, blobs } of all) {
      const byTag = Object.entries(tagged).flatMap(([tag, image]) => (image.manifest === manifest ? [tag] : []));
      const reads = [manifest.digest, ...byTag].map((name) => isRead.get(`/v2/app/manifests/${name}`) ?? 0);
      // What has a tag is found by that, and read by its digest.
      assert.equal(Math.max(...reads), 1, manifest.digest);
      for (const digest of blobs.keys()) assert.equal(isRead.get(`/v2/app/blobs/${digest}`), 1, 'read once for all');
    }
    for (const reference of to) {
      const { faults } = await copier.verify(reference, { endpoint: http.destination, deep: true, referrers: true });
      assert.deepEqual(faults, []);
      const listed = await copier.referrers(reference, { endpoint: http.destination });
      assert.deepEqual(
        listed.map(({ descriptor }) => descriptor.digest).toSorted(),
        all.map(({ manifest }) => manifest.digest).toSorted(),
      );
    }
  });
}

test('a copy that is aborted while blobs wait for a place rejects, and nothing else does', async (t) => {
  await using source = await startRegistry();
  await using one = await startRegistry();
  await using two = await startRegistry();
  source.seed('app', 'v1', buildImage({ layers: { count: 12, size: 2000 } }));
  const controller = new AbortController();
  source.behave({ match: { ...isBlobRead, times: 1 }, call: () => controller.abort(new Error('enough')) });
  const copier = await openCopier(t, { jobs: 1 });
  const options = { ...http, signal: controller.signal };
  await assert.rejects(copier.copy(at(source, 'app:v1'), [at(one, 'app:v1'), at(two, 'app:v1')], options), {
    message: 'enough',
  });
});

test('a copy that is aborted rejects, and leaves no upload open', async (t) => {
  await using source = await startRegistry();
  await using one = await startRegistry();
  await using two = await startRegistry();
  source.seed('app', 'v1', small);
  const controller = new AbortController();
  two.behave({ match: { method: 'PUT', path: /\/blobs\// }, call: () => controller.abort(new Error('enough')) });
  const copier = await openCopier(t);
  const copying = copier.copy(at(source, 'app:v1'), [at(one, 'app:v1'), at(two, 'app:v1')], {
    ...http,
    signal: controller.signal,
  });
  await assert.rejects(copying, { message: 'enough' });
  assert.deepEqual([one.tags('app'), two.tags('app')], [[], []]);
});
