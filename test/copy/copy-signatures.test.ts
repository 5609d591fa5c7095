import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copyImage } from '../../src/copy/copy-image.ts';
import type { PreparedRun } from '../../src/copy/copy-run.ts';
import { digestOf } from '../../src/digest/digest.ts';
import type { ImageDestination } from '../../src/contract/image-destination.ts';
import type { ImageSource } from '../../src/contract/image-source.ts';
import { fakeRun, type FakeRunOptions } from '../support/fakes.ts';
import { buildImage, buildIndex, type TestImage } from '../support/images.ts';

const platforms = ['amd64', 'arm64', 's390x'].map((architecture) => ({ os: 'linux', architecture }));
const images = platforms.map((platform) =>
  buildImage({ layers: { count: 1, size: 500, seed: platform.architecture }, platform }),
);
const index = buildIndex({ images: images.map((image, position) => ({ image, platform: platforms[position] })) });
const [amd64, arm64] = images.map(({ manifest }) => manifest.digest);
const signatures = new Map([
  [undefined, [Buffer.from('of the index')]],
  [amd64, [Buffer.from('of amd64'), Buffer.from('of amd64 as well')]],
]);

interface Signed {
  readonly ready: PreparedRun;
  readonly calls: readonly string[];
  /** What was stored, by the digest of the instance; that of the image by undefined. */
  readonly stored: ReadonlyMap<string | undefined, readonly string[]>;
}

/** A copy of the index, whose signatures are those above. */
function signed(
  options: {
    readonly run?: FakeRunOptions['run'];
    readonly into?: 'dir' | 'registry';
    readonly all?: typeof signatures;
  } = {},
): Signed {
  const { run, into = 'dir', all = signatures } = options;
  const stored = new Map<string | undefined, readonly string[]>();
  const getSignaturesWithFormat: ImageSource['getSignaturesWithFormat'] = async ({ instanceDigest } = {}) =>
    all.get(instanceDigest) ?? [];
  const putSignaturesWithFormat: ImageDestination['putSignaturesWithFormat'] = async (
    list,
    { instanceDigest } = {},
  ) => {
    if (list.length > 0) stored.set(instanceDigest, list.map(String));
  };
  const fake = fakeRun({
    image: index,
    run,
    source: { getSignaturesWithFormat },
    destination: into === 'dir' ? { putSignaturesWithFormat } : {},
  });
  return { calls: fake.calls, stored, ready: { ...fake.run, openCache: async () => fake.run.cache } };
}

test('takes the signatures of an index and of its instances along', async () => {
  const { ready, stored } = signed();
  await copyImage(ready);
  assert.deepEqual(
    stored,
    new Map([
      [amd64, ['of amd64', 'of amd64 as well']],
      [undefined, ['of the index']],
    ]),
  );
});

test('takes the signatures of an instance along when that alone is copied', async () => {
  const { ready, stored } = signed();
  await copyImage(ready, { platforms: platforms.slice(0, 1) });
  assert.deepEqual(stored, new Map([[undefined, ['of amd64', 'of amd64 as well']]]));
});

test('leaves the signature of an index behind that has other entries now, and keeps those of its instances', async () => {
  const { ready, stored } = signed();
  await copyImage(ready, { platforms: platforms.slice(0, 2) });
  assert.deepEqual(stored, new Map([[amd64, ['of amd64', 'of amd64 as well']]]));
});

test('leaves all signatures behind when told to', async () => {
  for (const into of ['dir', 'registry'] as const) {
    const { ready, stored, calls } = signed({ into, run: { removeSignatures: true } });
    await copyImage(ready);
    assert.equal(stored.size, 0);
    assert.equal(calls.at(-1), 'commit');
  }
});

test('refuses to lose signatures in a destination that cannot store them', async () => {
  const ofInstance = new Map([...signatures].filter(([digest]) => digest === amd64));
  for (const all of [signatures, ofInstance]) {
    const { ready, calls } = signed({ into: 'registry', all });
    await assert.rejects(copyImage(ready), {
      code: 'ERR_SIGNATURES_UNSUPPORTED',
      side: 'destination',
      hint: 'use --remove-signatures to copy without them',
    });
    assert.ok(!calls.includes('commit'));
  }
  const { ready } = signed({ into: 'registry' });
  await assert.rejects(copyImage(ready, { platforms: platforms.slice(0, 1) }), {
    code: 'ERR_SIGNATURES_UNSUPPORTED',
    message: `fake:source, manifest ${amd64} has signatures, but fake:destination cannot store them`,
  });
  assert.equal((await copyImage(ready, { platforms: platforms.slice(1, 2) })).digest, arm64);
});

test('refuses to substitute blobs of what is signed (behaviour 22)', async () => {
  const ofInstance = new Map([...signatures].filter(([digest]) => digest === amd64));
  for (const all of [signatures, ofInstance]) {
    const { ready, calls } = signed({ all, run: { substitute: true } });
    await assert.rejects(copyImage(ready), {
      message: 'blobs cannot be substituted: the image is signed',
      code: 'ERR_SUBSTITUTION_REFUSED',
      kind: 'usage',
    });
    assert.ok(!calls.includes('commit'));
  }
});

test('reads the manifests in an image that is there already within the limits of any image', async () => {
  const signedIndex = buildIndex({ images: [{ image: index }] });
  const { bytes } = signedIndex.manifest;
  const tooDeep = Array.from({ length: 4 }).reduce<TestImage>((image) => buildIndex({ images: [{ image }] }), index);
  const wrongSize = Buffer.from(bytes.toString().replace(/"size":\d+/, '"size":7'));
  const { mediaType } = signedIndex.manifest;
  const untrue = { ...signedIndex, manifest: { bytes: wrongSize, mediaType, digest: digestOf(wrongSize) } };
  for (const [image, code] of [
    [tooDeep, 'ERR_INDEX_TOO_DEEP'],
    [untrue, 'ERR_CONTENT_MISMATCH'],
  ] as const) {
    const { run } = fakeRun({
      image,
      destination: {
        putSignaturesWithFormat: async () => undefined,
        currentManifest: async () => ({ state: 'present', manifest: image.manifest }),
      },
    });
    await assert.rejects(copyImage({ ...run, openCache: async () => run.cache }), { code });
  }
});
