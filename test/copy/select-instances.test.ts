import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { PreparedRun } from '../../src/copy/copy-run.ts';
import { selectInstances } from '../../src/copy/select-instances.ts';
import { digestOf } from '../../src/digest/digest.ts';
import { ImgcopyError } from '../../src/errors/imgcopy-error.ts';
import { parseManifest } from '../../src/manifest/parse-manifest.ts';
import { parsePlatform } from '../../src/manifest/platform.ts';
import type { RawManifest } from '../../src/contract/blob-info.ts';
import type { CopyEvent } from '../../src/contract/progress.ts';
import { fakeRun, type FakeRunOptions } from '../support/fakes.ts';
import {
  buildArtifact,
  buildImage,
  buildIndex,
  buildSchema1,
  describe,
  randomBytes,
  type TestImage,
} from '../support/images.ts';

function imageFor(platform: string): TestImage {
  return buildImage({ layers: { count: 1, size: 100, seed: platform }, platform: parsePlatform(platform) });
}

const [amd64, armV6, armV7, windows] = [
  imageFor('linux/amd64'),
  imageFor('linux/arm/v6'),
  imageFor('linux/arm/v7'),
  imageFor('windows/amd64'),
];
const attestation = buildArtifact({ files: { 'provenance.json': '{}' } });
const index = buildIndex({
  images: [
    { image: amd64, platform: parsePlatform('linux/amd64') },
    { image: armV6, platform: parsePlatform('linux/arm/v6') },
    { image: armV7, platform: parsePlatform('linux/arm/v7') },
    { image: windows, platform: parsePlatform('windows/amd64') },
    {
      image: attestation,
      platform: { os: 'unknown', architecture: 'unknown' },
      annotations: {
        'vnd.docker.reference.type': 'attestation-manifest',
        'vnd.docker.reference.digest': amd64.manifest.digest,
      },
    },
  ],
});

interface Selection {
  readonly ready: PreparedRun;
  readonly events: readonly CopyEvent[];
}

function selecting(image: TestImage, source?: FakeRunOptions['source']): Selection {
  const { run, events } = fakeRun({ image, source });
  return { events, ready: { ...run, openCache: async () => run.cache } };
}

function digestsIn({ bytes, mediaType }: RawManifest): readonly string[] {
  const parsed = parseManifest(bytes, mediaType);
  return parsed.kind === 'index' ? parsed.manifests.map(({ digest }) => digest) : [];
}

test('takes all that the source names where no platform is wanted', async () => {
  const { ready } = selecting(index);
  assert.equal(await selectInstances(ready, index.manifest, {}), index.manifest);
  assert.equal(await selectInstances(ready, index.manifest, { platforms: [] }), index.manifest);
});

test('takes the image alone for one platform, the best variant that runs there (behaviour 28)', async () => {
  const { ready } = selecting(index);
  const choose = async (platform: string): Promise<RawManifest> =>
    selectInstances(ready, index.manifest, { platforms: [parsePlatform(platform)] });
  assert.equal(await choose('linux/amd64'), amd64.manifest);
  assert.equal(await choose('linux/arm/v8'), armV7.manifest);
  assert.equal(await choose('linux/arm/v6'), armV6.manifest);
  assert.equal(await choose('windows/amd64'), windows.manifest);
});

test('makes an index of just these for several, their attestations with them, and warns of it (behaviour 29)', async () => {
  const { ready, events } = selecting(index);
  const platforms = [parsePlatform('linux/arm/v7'), parsePlatform('linux/amd64')];
  const wanted = await selectInstances(ready, index.manifest, { platforms });
  assert.deepEqual(
    digestsIn(wanted),
    [amd64, armV7, attestation].map(({ manifest }) => manifest.digest),
    'in the order of the index',
  );
  assert.equal(wanted.digest, digestOf(wanted.bytes));
  assert.equal(wanted.mediaType, index.manifest.mediaType);
  assert.equal(wanted.only, undefined);
  assert.match(
    events.map((event) => (event.type === 'warning' ? event.message : event.type)).join(),
    /^the new index contains only linux\/arm\/v7, linux\/amd64; its digest differs/,
  );
});

test('keeps the bytes of an index that these platforms are all of (behaviour 30)', async () => {
  const { ready, events } = selecting(index);
  const platforms = ['linux/amd64', 'linux/arm/v6', 'linux/arm/v7', 'windows/amd64'].map(parsePlatform);
  assert.equal(await selectInstances(ready, index.manifest, { platforms, preserveDigests: true }), index.manifest);
  assert.deepEqual(events, []);
});

test('keeps the index of the source where it may be sparse, and names what comes along', async () => {
  const { ready, events } = selecting(index);
  const platforms = [parsePlatform('linux/amd64'), parsePlatform('windows/amd64')];
  const { only, ...manifest } = await selectInstances(ready, index.manifest, {
    platforms,
    sparse: true,
    preserveDigests: true,
  });
  assert.deepEqual(manifest, index.manifest);
  assert.deepEqual(
    [...(only ?? [])],
    [amd64, attestation, windows].map((image) => image.manifest.digest),
  );
  assert.deepEqual(events, []);
});

test('makes no new index where digests are to be preserved (behaviour 22)', async () => {
  const { ready } = selecting(index);
  const platforms = [parsePlatform('linux/amd64'), parsePlatform('windows/amd64')];
  await assert.rejects(selectInstances(ready, index.manifest, { platforms, preserveDigests: true }), {
    code: 'ERR_DIGEST_NOT_PRESERVED',
    kind: 'usage',
  });
  const one = { platforms: platforms.slice(0, 1), preserveDigests: true };
  assert.equal(await selectInstances(ready, index.manifest, one), amd64.manifest);
});

test('fails for a platform that is not there, and lists those that are (behaviour 28)', async () => {
  const { ready } = selecting(index);
  for (const others of [[], ['linux/amd64']]) {
    const platforms = [...others, 'linux/riscv64'].map(parsePlatform);
    for (const sparse of [false, true]) {
      await assert.rejects(selectInstances(ready, index.manifest, { platforms, sparse }), {
        message:
          'no image for linux/riscv64 in fake:source: found linux/amd64, linux/arm/v6, linux/arm/v7, windows/amd64',
        code: 'ERR_PLATFORM_NOT_FOUND',
        kind: 'not-found',
      });
    }
  }
});

test('takes an image without an index for the platform that its config tells, and no other (behaviour 29)', async () => {
  const { ready } = selecting(armV7);
  const choose = async (...platforms: string[]): Promise<RawManifest> =>
    selectInstances(ready, armV7.manifest, { platforms: platforms.map(parsePlatform) });
  assert.equal(await choose('linux/arm/v7'), armV7.manifest);
  assert.equal(await choose('linux/arm/v8', 'linux/arm/v7'), armV7.manifest);
  for (const platforms of [['linux/amd64'], ['linux/arm/v7', 'linux/amd64']]) {
    await assert.rejects(choose(...platforms), {
      message: 'no image for linux/amd64 in fake:source: found linux/arm/v7',
      code: 'ERR_PLATFORM_NOT_FOUND',
    });
  }
});

test('keeps of one digest under several platforms only those that are wanted', async () => {
  const shared = buildIndex({
    images: ['linux/amd64', 'linux/arm64', 'linux/s390x', 'linux/arm/v7'].map((platform) => ({
      image: platform === 'linux/arm/v7' ? armV7 : amd64,
      platform: parsePlatform(platform),
    })),
  });
  const { ready } = selecting(shared);
  const platforms = ['linux/arm64', 'linux/arm/v7'].map(parsePlatform);
  const { bytes, mediaType } = await selectInstances(ready, shared.manifest, { platforms });
  const parsed = parseManifest(bytes, mediaType);
  assert.ok(parsed.kind === 'index');
  assert.deepEqual(
    parsed.manifests.map(({ digest, platform }) => ({ digest, platform })),
    [
      { digest: amd64.manifest.digest, platform: parsePlatform('linux/arm64') },
      { digest: armV7.manifest.digest, platform: parsePlatform('linux/arm/v7') },
    ],
  );
});

const arms = buildIndex({
  images: [armV6, armV7].map((image, at) => ({ image, platform: parsePlatform(`linux/arm/v${6 + at}`) })),
});
const onWindows = buildIndex({ images: [{ image: windows }] });
const outer = buildIndex({
  images: [
    { image: amd64, platform: parsePlatform('linux/amd64') },
    { image: buildIndex({ images: [{ image: arms }] }) },
    { image: onWindows, platform: parsePlatform('windows/amd64:10.0.1.2') },
  ],
});

test('looks for a platform in the indexes of an index', async () => {
  const { ready } = selecting(outer);
  const choose = async (platform: string): Promise<RawManifest> =>
    selectInstances(ready, outer.manifest, { platforms: [parsePlatform(platform)] });
  assert.equal(await choose('linux/amd64'), amd64.manifest);
  assert.equal(await choose('linux/arm/v7'), armV7.manifest);
  assert.equal(await choose('windows/amd64:10.0.1'), windows.manifest, 'the platform of its index counts');
  await assert.rejects(choose('linux/s390x'), {
    message:
      'no image for linux/s390x in fake:source: found linux/amd64, linux/arm/v6, linux/arm/v7, windows/amd64:10.0.1.2',
  });
});

test('makes one index of the images that it finds in several indexes', async () => {
  const { ready } = selecting(outer);
  const platforms = ['linux/amd64', 'linux/arm/v7', 'windows/amd64'].map(parsePlatform);
  const { bytes, mediaType } = await selectInstances(ready, outer.manifest, { platforms });
  const parsed = parseManifest(bytes, mediaType);
  assert.ok(parsed.kind === 'index');
  assert.deepEqual(
    parsed.manifests.map(({ digest, platform }) => [digest, platform]),
    [
      [amd64.manifest.digest, parsePlatform('linux/amd64')],
      [armV7.manifest.digest, parsePlatform('linux/arm/v7')],
      [windows.manifest.digest, parsePlatform('windows/amd64:10.0.1.2')],
    ],
  );
  const all = ['linux/amd64', 'linux/arm/v6', 'linux/arm/v7', 'windows/amd64'].map(parsePlatform);
  assert.equal(await selectInstances(ready, outer.manifest, { platforms: all }), outer.manifest);
});

test('names the indexes on the way to what comes along of a sparse index', async () => {
  const { ready } = selecting(outer);
  const platforms = ['linux/amd64', 'linux/arm/v7'].map(parsePlatform);
  const { only = new Set() } = await selectInstances(ready, outer.manifest, { platforms, sparse: true });
  const [, middle] = digestsIn(outer.manifest);
  assert.deepEqual(
    [...only].toSorted(),
    [amd64.manifest.digest, String(middle), arms.manifest.digest, armV7.manifest.digest].toSorted(),
  );
});

test('does without a nested index that is missing from the source', async () => {
  const { ready } = selecting(
    { ...outer, instances: outer.instances.filter(({ digest }) => digest !== arms.manifest.digest) },
    {
      getManifest: async ({ instanceDigest } = {}) => {
        const found = outer.instances.find(({ digest }) => digest === instanceDigest);
        if (found !== undefined && found.digest !== arms.manifest.digest) return found;
        throw new ImgcopyError('GET: 404', { code: 'ERR_NOT_FOUND', kind: 'not-found' });
      },
    },
  );
  const platforms = [parsePlatform('windows/amd64')];
  assert.equal(await selectInstances(ready, outer.manifest, { platforms }), windows.manifest);
  await assert.rejects(selectInstances(ready, outer.manifest, { platforms: [parsePlatform('linux/arm')] }), {
    code: 'ERR_PLATFORM_NOT_FOUND',
  });
});

test('follows indexes in indexes no deeper than a copy does', async () => {
  let deep = arms;
  for (let depth = 0; depth < 4; depth += 1) deep = buildIndex({ images: [{ image: deep }] });
  const { ready } = selecting(deep);
  await assert.rejects(selectInstances(ready, deep.manifest, { platforms: [parsePlatform('linux/arm')] }), {
    code: 'ERR_INDEX_TOO_DEEP',
  });
});

test('takes a schema 1 image for the platform that it tells, and no other', async () => {
  for (const signed of [false, true]) {
    const old = buildSchema1({ layers: [randomBytes('old', 100)], signed });
    const { ready } = selecting(old);
    const choose = async (platform: string): Promise<RawManifest> =>
      selectInstances(ready, old.manifest, { platforms: [parsePlatform(platform)] });
    assert.equal(await choose('linux/amd64'), old.manifest);
    await assert.rejects(choose('linux/arm64'), { code: 'ERR_PLATFORM_NOT_FOUND', kind: 'not-found' });
  }
});

test('takes a version of Windows from the config of an image without an index', async () => {
  const image = imageFor('windows/amd64:10.0.1.2');
  const { ready } = selecting(image);
  const choose = async (platform: string): Promise<RawManifest> =>
    selectInstances(ready, image.manifest, { platforms: [parsePlatform(platform)] });
  assert.equal(await choose('windows/amd64:10.0.1'), image.manifest);
  await assert.rejects(choose('windows/amd64:10.0.2'), { code: 'ERR_PLATFORM_NOT_FOUND' });
});

test('takes what tells no platform as it is', async () => {
  const artifact = buildArtifact({ files: { a: 'a' } });
  const { ready } = selecting(artifact);
  const platforms = [parsePlatform('linux/amd64')];
  assert.equal(await selectInstances(ready, artifact.manifest, { platforms }), artifact.manifest);
});

test('reads no config that is too large, or that is not what its digest says (behaviour 49)', async () => {
  const config = describe(Buffer.from('{"os":"linux"}'), 'application/vnd.oci.image.config.v1+json');
  const claiming = (size: number): RawManifest => {
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: amd64.manifest.mediaType,
        config: { ...config, size },
        layers: [],
      }),
    );
    return { bytes, mediaType: amd64.manifest.mediaType, digest: digestOf(bytes) };
  };
  const endless = Readable.from(
    (function* () {
      for (;;) yield Buffer.alloc(1024);
    })(),
    { objectMode: false },
  );
  const { ready } = selecting(amd64, { getBlob: async () => ({ stream: endless, size: undefined }) });
  const platforms = [parsePlatform('linux/amd64')];
  await assert.rejects(selectInstances(ready, claiming(4 * 1024 * 1024 + 1), { platforms }), {
    code: 'ERR_CONFIG_TOO_LARGE',
  });
  await assert.rejects(selectInstances(ready, claiming(config.size), { platforms }), { code: 'ERR_CONTENT_MISMATCH' });
  assert.equal(endless.destroyed, true);
});
