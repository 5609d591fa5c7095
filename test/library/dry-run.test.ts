import assert from 'node:assert/strict';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { digestHex, digestOf } from '../../src/digest/digest.ts';
import { createCopier, type Copier, type CopyEvent, type CopyPlan, type PlannedBlob } from '../../src/index.ts';
import { buildImage, buildIndex, randomBytes, type TestImage } from '../support/images.ts';
import { loadFixture } from '../support/integration-images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { seedSigned } from './signed-image.ts';
import { at, openHome, TestCopier, type TestHome } from './test-copier.ts';

const KiB = 1024;
const layers = Array.from({ length: 6 }, (_, index) => randomBytes(`layer ${index}`, (index + 1) * 7 * KiB));

/** Files and directories below a path, with sizes and times of change. */
async function filesBelow(path: string): Promise<readonly string[]> {
  const entries = await readdir(path, { recursive: true }).catch(() => []);
  const described = entries.map(async (name) => {
    const { size, mtimeMs } = await stat(join(path, name));
    return `${name} ${size} ${mtimeMs}`;
  });
  return (await Promise.all(described)).toSorted();
}

/** Plans, checks that nothing was changed by that, copies, and checks that the copy did what the plan says. */
async function planAndCopy(
  t: TestContext,
  home: TestHome,
  registries: readonly TestRegistry[],
  [source, destination]: readonly [string, string],
  options: Parameters<TestCopier['copy']>[2] = {},
): Promise<CopyPlan> {
  const before = await filesBelow(home.path);
  for (const registry of registries) registry.reset();
  const plan = await (async () => {
    await using copier = new TestCopier(home);
    return copier.plan(source, destination, options);
  })();
  assert.deepEqual(await filesBelow(home.path), before, 'a dry run makes no file');
  for (const registry of registries) {
    assert.deepEqual(
      [...new Set(registry.requests.map(({ method }) => method))].filter((m) => m !== 'GET' && m !== 'HEAD'),
      [],
    );
  }
  const uploadedBefore = sentTo(registries);
  const done: Extract<CopyEvent, { type: 'blob-done' }>[] = [];
  await using copier = new TestCopier(home);
  const onEvent = (event: CopyEvent): void => void (event.type === 'blob-done' && done.push(event));
  const result = await copier.copy(source, destination, { ...options, onEvent });
  assert.deepEqual(plan.bytes, result.bytes);
  assert.deepEqual(countsOf(plan.blobs), result.blobs);
  const { digest, reference, skipped, imageId } = result;
  assert.deepEqual([plan.digest, plan.reference, plan.skipped, plan.imageId], [digest, reference, skipped, imageId]);
  assert.deepEqual(
    plan.blobs.map(outcomeOf).toSorted(),
    done
      .map(({ digest: blob, outcome, bytesFetched, bytesReused, bytesResumed }) =>
        [blob, outcome, bytesFetched, bytesReused, bytesResumed].join(' '),
      )
      .toSorted(),
  );
  if (destination.startsWith('docker:')) assert.equal(sentTo(registries) - uploadedBefore, plan.bytes.uploaded);
  const again = await copier.plan(source, destination, { ...options, force: false });
  assert.deepEqual([again.bytes.uploaded, again.skipped], [0, 'same'], 'what was copied is there');
  return plan;
}

function outcomeOf({ digest, outcome, bytesFetched, bytesReused, bytesResumed }: PlannedBlob): string {
  return [digest, outcome, bytesFetched, bytesReused, bytesResumed].join(' ');
}

function countsOf(blobs: readonly PlannedBlob[]): Record<string, number> {
  const count = (...outcomes: string[]): number => blobs.filter(({ outcome }) => outcomes.includes(outcome)).length;
  return {
    total: blobs.length,
    reused: count('reused', 'substituted'),
    mounted: count('mounted'),
    partial: count('partial'),
    copied: count('copied'),
  };
}

/** Bytes of blobs that registries were sent. */
function sentTo(registries: readonly TestRegistry[]): number {
  const sent = registries.flatMap((registry) =>
    registry.requests.filter(({ method, path }) => /^P(UT|ATCH)$/.test(method) && path.includes('/blobs/')),
  );
  return sent.reduce((sum, { bodyBytes }) => sum + bodyBytes, 0);
}

/** Numbers that look random, the same for the same seed. */
function randomOf(seed: number): (below: number) => number {
  const bytes = randomBytes(`pair ${seed}`, 4096);
  let position = 0;
  return (below) => {
    position += 2;
    return bytes.readUInt16LE(position) % below;
  };
}

const PLATFORMS = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }));

/** An image of some of the layers, or an index of two. */
function randomImage(random: (below: number) => number, isIndex: boolean): TestImage {
  const some = (): readonly Buffer[] => layers.filter(() => random(2) === 0);
  const images = PLATFORMS.map((platform) => ({
    platform,
    image: buildImage({
      layers: [...some(), randomBytes(`own ${platform.architecture} ${random(3)}`, 3 * KiB)],
      platform,
    }),
  }));
  return isIndex ? buildIndex({ images }) : (images[0]?.image ?? assert.fail());
}

const HTTP = { source: { plainHttp: true }, destination: { plainHttp: true } };

function openCopier({ env }: TestHome): Copier {
  return createCopier({ env, retryDelayMs: 1 });
}

interface Ends {
  readonly registries: readonly TestRegistry[];
  readonly source: string;
  readonly destinations: readonly string[];
}

/** The same for several destinations: each plan, and what all of them together get of the source. */
async function planAndCopyToAll(
  home: TestHome,
  { registries, source, destinations }: Ends,
): Promise<readonly CopyPlan[]> {
  const before = await filesBelow(home.path);
  for (const registry of registries) registry.reset();
  const planned = await (async () => {
    await using copier = openCopier(home);
    return copier.plan(source, destinations, HTTP);
  })();
  assert.deepEqual(await filesBelow(home.path), before, 'a dry run makes no file');
  const methods = registries.flatMap((registry) => registry.requests.map(({ method }) => method));
  assert.deepEqual(
    methods.filter((method) => method !== 'GET' && method !== 'HEAD'),
    [],
  );
  const plans = planned.map(({ plan, error }) => plan ?? assert.fail(error));
  for (const registry of registries) registry.reset();
  const done: CopyEvent[] = [];
  await using copier = openCopier(home);
  const onEvent = (event: CopyEvent): void => void done.push(event);
  const outcomes = await copier.copy(source, destinations, { ...HTTP, onEvent });
  const readBytes = sentOf(registries);
  for (const [index, { destinationId, result, error }] of outcomes.entries()) {
    const { plan } = planned[index] ?? assert.fail();
    assert.ok(plan !== undefined && result !== undefined, String(error));
    assert.deepEqual(
      [plan.bytes, countsOf(plan.blobs), plan.digest, plan.reference, plan.skipped, plan.imageId],
      [result.bytes, result.blobs, result.digest, result.reference, result.skipped, result.imageId],
      destinationId,
    );
    const ended = done.flatMap((event) =>
      event.type === 'blob-done' && event.destinationId === destinationId
        ? [[event.digest, event.outcome, event.bytesFetched, event.bytesReused, event.bytesResumed].join(' ')]
        : [],
    );
    assert.deepEqual(plan.blobs.map(outcomeOf).toSorted(), ended.toSorted(), destinationId);
  }
  const { together } = plans[0] ?? assert.fail();
  assert.ok(together !== undefined);
  assert.equal(
    together.bytes.uploaded,
    plans.reduce((sum, { bytes }) => sum + bytes.uploaded, 0),
  );
  if (source.startsWith('docker:')) assert.equal(readBytes, together.bytes.fetched);
  return plans;
}

/** Bytes of blobs that registries have sent. */
function sentOf(registries: readonly TestRegistry[]): number {
  const reads = registries.flatMap((registry) => registry.select({ method: 'GET', path: /\/blobs\/sha256:/ }));
  return reads.reduce((sum, { bytesSent }) => sum + bytesSent, 0);
}

const SOURCES = ['registry', 'same registry', 'dir', 'oci', 'oci-archive'] as const;
const DESTINATIONS = ['registry', 'registry', 'dir', 'oci', 'oci-archive', 'docker-archive'] as const;

for (const [from, kind] of SOURCES.entries()) {
  for (const [to, target] of [...new Set(DESTINATIONS)].entries()) {
    test(`a copy from ${kind} to ${target} does what its dry run says, whatever is there`, async (t) => {
      const seeds = target === 'registry' ? [0, 1, 2] : [0];
      for (const seed of seeds.map((n) => n * 100 + from * 10 + to)) await randomPair(t, seed, kind, target);
    });
  }
}

async function randomPair(
  t: TestContext,
  seed: number,
  kind: (typeof SOURCES)[number],
  target: (typeof DESTINATIONS)[number],
): Promise<void> {
  const random = randomOf(seed);
  const home = await openHome(t);
  await using one = await startRegistry();
  await using other = await startRegistry();
  const isIndex = random(2) === 0 && target !== 'docker-archive';
  const [old, image] = [randomImage(random, isIndex), randomImage(random, isIndex)];
  one.seed('app', 'v1', image);
  one.seed('app', 'v0', old);
  other.seed('app', 'v1', image);
  const local = (name: string, form: string): string =>
    `${form}:${join(home.path, name)}${form === 'dir' ? '' : ':v1'}`;
  const source =
    kind === 'registry' ? at(one, 'app:v1') : kind === 'same registry' ? at(other, 'app:v1') : local('source', kind);
  const destination = target === 'registry' ? at(other, 'copy:v1') : local('destination', target);
  {
    await using copier = new TestCopier(home);
    if (source.includes('/source')) await copier.copy(at(one, 'app:v1'), source);
    // What is there before: nothing, an older image, some of its blobs in other repositories, or the image under another name.
    if (random(3) > 0) await copier.copy(at(one, 'app:v0'), destination);
    if (random(3) > 0) await copier.copy(at(one, 'app:v0'), at(other, `elsewhere:v1`));
    if (random(4) === 0 && target === 'registry') await copier.copy(at(one, 'app:v1'), at(other, 'copy:again'));
  }
  const mayHaveTags = target === 'registry';
  await planAndCopy(t, home, [one, other], [source, destination], {
    additionalTags: mayHaveTags && random(2) === 0 ? ['more', 'again'] : undefined,
    platforms: isIndex && random(4) === 0 ? PLATFORMS.slice(0, 1) : undefined,
    force: random(5) === 0,
  });
}

for (const kind of ['registry', 'dir', 'oci', 'oci-archive'] as const) {
  test(`a copy from ${kind} to several destinations does what its dry run says, whatever is there`, async (t) => {
    for (let seed = 0; seed < (kind === 'registry' ? 6 : 2); seed += 1) await randomDestinations(t, seed, kind);
  });
}

async function randomDestinations(
  t: TestContext,
  seed: number,
  kind: 'registry' | 'dir' | 'oci' | 'oci-archive',
): Promise<void> {
  const random = randomOf(1000 + seed);
  const home = await openHome(t);
  await using from = await startRegistry();
  await using one = await startRegistry();
  await using other = await startRegistry();
  const isIndex = random(2) === 0;
  const [old, image] = [randomImage(random, isIndex), randomImage(random, isIndex)];
  from.seed('app', 'v1', image);
  from.seed('app', 'v0', old);
  const local = (form: string, name: string): string => `${form}:${join(home.path, name)}`;
  const source = kind === 'registry' ? at(from, 'app:v1') : local(kind, kind === 'dir' ? 'source' : 'source:v1');
  const places = [
    at(one, 'a:v1'),
    at(one, 'b:v1'),
    at(one, 'a:again'),
    at(other, 'a:v1'),
    local('dir', 'dir'),
    local('oci', 'layout:first'),
    local('oci', 'layout:second'),
    local('oci-archive', 'archive.tar:v1'),
  ];
  const chosen = places.filter(() => random(2) === 0);
  const destinations = chosen.length < 2 ? places.slice(0, 3) : chosen;
  {
    await using copier = new TestCopier(home);
    if (kind !== 'registry') await copier.copy(at(from, 'app:v1'), source);
    for (const destination of destinations) if (random(3) === 0) await copier.copy(at(from, 'app:v0'), destination);
  }
  await planAndCopyToAll(home, { registries: [from, one, other], source, destinations });
}

test('the plan for each of several destinations names where it fails, and the others are planned', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  const home = await openHome(t);
  from.seed('app', 'v1', buildImage({ layers }));
  const file = join(home.path, 'file');
  await writeFile(file, 'no directory');
  await using copier = openCopier(home);
  const [failed, planned] = await copier.plan(at(from, 'app:v1'), [`dir:${file}`, at(to, 'app:v1')], HTTP);
  assert.match(String(failed?.error), /is a file, not a directory/);
  assert.equal(planned?.plan?.bytes.uploaded, planned?.plan?.bytes.total);
  assert.equal(
    to.requests.some(({ method }) => method !== 'GET' && method !== 'HEAD'),
    false,
  );
});

for (const target of ['registry', 'oci'] as const) {
  test(`a copy of all tags to ${target} does what its dry run says, whatever is there`, async (t) => {
    for (let seed = 0; seed < 3; seed += 1) {
      const random = randomOf(2000 + seed);
      const home = await openHome(t);
      await using from = await startRegistry();
      await using to = await startRegistry();
      const tags = Array.from({ length: 6 }, (_, index) => `v${index}`);
      for (const tag of tags) from.seed('app', tag, randomImage(random, random(2) === 0));
      const repository = target === 'registry' ? `docker://${to.host}/copy` : `oci:${join(home.path, 'layout')}`;
      {
        await using copier = openCopier(home);
        for (const tag of tags)
          if (random(3) === 0)
            await copier.copy(at(from, `app:${tag}`), `${repository}:${random(2) === 0 ? tag : 'v0'}`, HTTP);
      }
      to.reset();
      from.reset();
      const before = await filesBelow(home.path);
      const planned = await (async () => {
        await using copier = openCopier(home);
        return collected(copier.planTags(`docker://${from.host}/app`, repository, HTTP));
      })();
      assert.deepEqual(await filesBelow(home.path), before, 'a dry run makes no file');
      assert.ok([from, to].every((one) => one.requests.every(({ method }) => method === 'GET' || method === 'HEAD')));
      from.reset();
      await using copier = openCopier(home);
      const copied = await collected(copier.copyTags(`docker://${from.host}/app`, repository, HTTP));
      const plans = new Map(planned.map((one) => [one.tag, one.status === 'planned' ? one.plan : assert.fail()]));
      const total = { plan: 0, copy: 0, upload: 0 };
      for (const outcome of copied) {
        assert.ok(outcome.status === 'copied');
        const { result } = outcome;
        const plan = plans.get(outcome.tag) ?? assert.fail();
        assert.deepEqual(
          [plan.digest, plan.skipped, plan.bytes.total, plan.reference],
          [result.digest, result.skipped, result.bytes.total, result.reference],
        );
        total.plan += plan.bytes.fetched;
        total.copy += result.bytes.fetched;
        total.upload += plan.bytes.uploaded;
      }
      assert.equal(plans.size, copied.length);
      assert.equal(total.plan, total.copy);
      if (target === 'registry') assert.equal(sentTo([to]), total.upload);
    }
  });
}

async function collected<T>(items: AsyncIterable<T>): Promise<readonly T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

for (const target of ['registry', 'dir', 'oci'] as const) {
  test(`the next version in chunked layers comes into a ${target} in the pieces that the dry run names`, async (t) => {
    const [v1, v2] = [await loadFixture('zstdchunked', 'v1'), await loadFixture('zstdchunked', 'v2')];
    const home = await openHome(t);
    await using from = await startRegistry();
    await using to = await startRegistry();
    from.seed('app', 'v1', v1);
    from.seed('app', 'v2', v2);
    const destination =
      target === 'registry'
        ? at(to, 'app:now')
        : `${target}:${join(home.path, 'now')}${target === 'oci' ? ':now' : ''}`;
    {
      await using copier = new TestCopier(home);
      await copier.copy(at(from, 'app:v1'), destination);
    }
    const plan = await planAndCopy(t, home, [from, to], [at(from, 'app:v2'), destination]);
    const partial = plan.blobs.filter(({ outcome }) => outcome === 'partial');
    assert.ok(partial.length > 0 && partial.every(({ bytesReused }) => bytesReused > 0));
    assert.equal(plan.manifests[0]?.outcome, 'replaces');
    assert.equal(plan.manifests[0]?.current, v1.manifest.digest);
  });
}

test('what a cut run left in a directory is resumed by the copy, and only looked at by the dry run', async (t) => {
  const home = await openHome(t);
  const large = randomBytes('large', 20 * 1024 * KiB);
  await using from = await startRegistry();
  from.seed('app', 'v1', buildImage({ layers: [large] }));
  const directory = join(home.path, 'image');
  await mkdir(directory);
  await writeFile(
    join(directory, `.imgcopy-sha256-${digestHex(digestOf(large))}.partial`),
    large.subarray(0, 6 * 1024 * KiB),
  );
  const plan = await planAndCopy(t, home, [from], [at(from, 'app:v1'), `dir:${directory}`]);
  const { outcome, bytesFetched, bytesResumed } = plan.blobs[0] ?? assert.fail();
  assert.deepEqual([outcome, bytesFetched, bytesResumed], ['partial', 14 * 1024 * KiB, 6 * 1024 * KiB]);
});

test('a dry run asks for tokens to read with, also where a blob would be mounted', async (t) => {
  await using registry = await startRegistry({ auth: { kind: 'bearer' } });
  await using copier = new TestCopier(await openHome(t));
  registry.seed('app', 'v1', buildImage({ layers }));
  const plan = await copier.plan(at(registry, 'app:v1'), at(registry, 'copy:v1'));
  assert.deepEqual(new Set(plan.blobs.map(({ outcome }) => outcome)), new Set(['mounted']));
  assert.deepEqual(new Set(plan.blobs.map(({ from }) => from)), new Set([`${registry.host}/app`]));
  const scopes = registry.tokens.flatMap((token) => token.scopes);
  assert.ok(scopes.length > 0);
  assert.deepEqual(
    scopes.filter((scope) => !scope.endsWith(':pull')),
    [],
  );
});

test('a dry run with referrers lists them, and writes none', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  const home = await openHome(t);
  seedSigned(from);
  const { manifests } = await planAndCopy(t, home, [from, to], [at(from, 'app:v1'), at(to, 'copy:v1')], {
    referrers: true,
  });
  assert.ok(manifests.filter(({ role }) => role === 'referrer').length > 3);
});
