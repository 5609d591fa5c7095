import assert from 'node:assert/strict';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { digestHex, digestOf } from '../../src/digest/digest.ts';
import type { CopyEvent, CopyPlan, PlannedBlob } from '../../src/index.ts';
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
