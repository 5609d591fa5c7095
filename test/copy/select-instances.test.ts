import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { PreparedRun } from '../../src/copy/copy-run.ts';
import { selectInstances } from '../../src/copy/select-instances.ts';
import { digestOf } from '../../src/digest/digest.ts';
import { parseManifest } from '../../src/manifest/parse-manifest.ts';
import { parsePlatform } from '../../src/manifest/platform.ts';
import type { RawManifest } from '../../src/types/blob-info.ts';
import type { CopyEvent } from '../../src/types/progress.ts';
import { fakeRun, type FakeRunOptions } from '../support/fakes.ts';
import { buildArtifact, buildImage, buildIndex, describe, type TestImage } from '../support/images.ts';

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
    /^the index holds linux\/arm\/v7, linux\/amd64 alone: its digest is new/,
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
