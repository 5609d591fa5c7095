import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Descriptor } from '../../src/manifest/descriptor.ts';
import { MediaType } from '../../src/manifest/media-types.ts';
import { parseManifest } from '../../src/manifest/parse-manifest.ts';
import { attestationsFor, matchPlatform, parsePlatform, PlatformNotFoundError } from '../../src/manifest/platform.ts';
import { buildkitIndex, descriptor, digest, json } from './samples.ts';

/** The platforms of an index, the one wanted, and the one to be taken. */
const choices: readonly (readonly [entries: string, wanted: string, taken: string | undefined])[] = [
  ['linux/amd64 linux/arm64', 'linux/arm64', 'linux/arm64'],
  ['linux/amd64 windows/amd64', 'windows/amd64', 'windows/amd64'],
  ['linux/amd64 linux/arm64', 'linux/s390x', undefined],
  ['linux/amd64', 'freebsd/amd64', undefined],

  ['linux/arm64/v8', 'linux/arm64', 'linux/arm64/v8'],
  ['linux/arm64', 'linux/arm64/v8', 'linux/arm64'],
  ['linux/arm64/v9 linux/arm64', 'linux/arm64', 'linux/arm64'],
  ['linux/arm64 linux/arm64/v9', 'linux/arm64/v9', 'linux/arm64/v9'],
  ['linux/arm64/v8', 'linux/arm64/v9', 'linux/arm64/v8'],
  ['linux/arm64/v9', 'linux/arm64', undefined],

  ['linux/arm/v5 linux/arm/v7 linux/arm/v6', 'linux/arm/v7', 'linux/arm/v7'],
  ['linux/arm/v5 linux/arm/v6', 'linux/arm/v7', 'linux/arm/v6'],
  ['linux/arm linux/arm/v5', 'linux/arm/v7', 'linux/arm/v5'],
  ['linux/arm', 'linux/arm/v7', 'linux/arm'],
  ['linux/arm/v5 linux/arm/v7', 'linux/arm/v8', 'linux/arm/v7'],
  ['linux/arm/v7', 'linux/arm/v6', undefined],
  ['linux/arm/v5 linux/arm/v7', 'linux/arm', 'linux/arm/v7'],
  ['linux/arm/v5 linux/arm', 'linux/arm', 'linux/arm'],

  ['linux/amd64 linux/amd64/v3', 'linux/amd64', 'linux/amd64'],
  ['linux/amd64/v3', 'linux/amd64', undefined],
  ['linux/amd64 linux/amd64/v2', 'linux/amd64/v3', 'linux/amd64/v2'],
  ['linux/amd64/v1', 'linux/amd64', 'linux/amd64/v1'],
  ['linux/amd64', 'linux/amd64/v4', 'linux/amd64'],

  ['linux/ppc64le/power9 linux/ppc64le', 'linux/ppc64le/power9', 'linux/ppc64le/power9'],
  ['linux/ppc64le', 'linux/ppc64le/power9', 'linux/ppc64le'],
  ['linux/ppc64le/power8', 'linux/ppc64le/power10', 'linux/ppc64le/power8'],
  ['linux/riscv64', 'linux/riscv64/rva22u64', 'linux/riscv64'],

  ['linux/amd64', 'linux/amd64/v5', undefined],
  ['linux/arm linux/arm/v7', 'linux/arm/v9', undefined],
  ['linux/arm/v9 linux/arm', 'linux/arm/v9', 'linux/arm/v9'],
  ['linux/s390x', 'linux/s390x/z15', undefined],
  ['windows/amd64', 'windows/amd64/10.0.17763.1', undefined],

  ['windows/amd64:10.0.1.1 windows/amd64:10.0.2.1', 'windows/amd64:10.0.2.1', 'windows/amd64:10.0.2.1'],
  ['windows/amd64:10.0.1.1 windows/amd64:10.0.2.1', 'windows/amd64:10.0.2', 'windows/amd64:10.0.2.1'],
  ['windows/amd64:10.0.1.1 windows/amd64:10.0.2.1', 'windows/amd64', 'windows/amd64:10.0.1.1'],
  ['windows/amd64:10.0.1.1', 'windows/amd64:10.0.1.2', undefined],
  ['windows/amd64:10.0.17.1', 'windows/amd64:10.0.1', undefined],
  ['windows/amd64:10.0.1', 'windows/amd64:10.0.1.1', undefined],
  ['windows/amd64', 'windows/amd64:10.0.1.1', undefined],
  ['linux/arm/v6:5.1 linux/arm/v7:4.9', 'linux/arm/v7:5.1', 'linux/arm/v6:5.1'],

  ['linux/x86_64', 'linux/amd64', 'linux/x86_64'],
  ['linux/arm64', 'linux/aarch64', 'linux/arm64'],
  ['linux/armhf', 'linux/arm/v7', 'linux/armhf'],
  ['linux/arm/7', 'linux/arm/v7', 'linux/arm/7'],
  ['linux/constructor', 'linux/amd64', undefined],

  ['unknown/unknown', 'unknown/unknown', undefined],
  ['- linux/amd64', 'linux/arm64', undefined],
];

for (const [listed, wanted, taken] of choices) {
  test(`of ${listed} takes ${taken ?? 'none'} for ${wanted} (behaviour 28)`, () => {
    const entries = listed.split(' ').map(entryFor);
    const expected = taken === undefined ? undefined : entryFor(taken);
    assert.deepEqual(matchPlatform(entries, parsePlatform(wanted)), expected);
  });
}

test('takes zstd before gzip, and then the first (behaviour 28)', () => {
  const zstd = { annotations: { 'io.github.containers.compression.zstd': 'true' } };
  const platform = parsePlatform('linux/amd64');
  const entries: Descriptor[] = ['a', 'b', 'c', 'd'].map((name) => ({
    ...descriptor(MediaType.ociManifest, name),
    platform,
  }));
  assert.equal(matchPlatform(entries, platform)?.digest, digest('a'));
  const mixed = entries.map((entry, position) => (position === 1 || position === 2 ? { ...entry, ...zstd } : entry));
  assert.equal(matchPlatform(mixed, platform)?.digest, digest('b'));
});

test('takes an exact variant in gzip before a lesser one in zstd', () => {
  const lesser = { ...entryFor('linux/arm/v6'), annotations: { 'io.github.containers.compression.zstd': 'true' } };
  const exact = entryFor('linux/arm/v7');
  assert.equal(matchPlatform([lesser, exact], parsePlatform('linux/arm/v7')), exact);
});

test('finds the attestations of an image, and takes none for an image', () => {
  const index = parseManifest(json(buildkitIndex));
  assert(index.kind === 'index');
  const [amd64, , provenance] = index.manifests;
  assert(amd64 !== undefined);
  assert.deepEqual(attestationsFor(index.manifests, amd64.digest), [provenance]);
  assert.deepEqual(attestationsFor(index.manifests, digest('elsewhere')), []);

  const disguised = { ...provenance, platform: amd64.platform } as Descriptor;
  assert.equal(matchPlatform([disguised, amd64], parsePlatform('linux/amd64')), amd64);
});

test('lists what there is when a platform is missing, each once, attestations apart (behaviour 28)', () => {
  const entries = ['linux/amd64', 'linux/arm/v7', 'unknown/unknown', 'linux/amd64', '-'].map(entryFor);
  const error = new PlatformNotFoundError(parsePlatform('linux/s390x'), entries, 'docker://h.io/app:1');
  assert.equal(error.message, 'no image for linux/s390x in docker://h.io/app:1: found linux/amd64, linux/arm/v7');
  assert.equal(error.code, 'ERR_PLATFORM_NOT_FOUND');
  assert.equal(error.kind, 'not-found');
  assert.match(
    new PlatformNotFoundError(parsePlatform('linux/s390x'), []).message,
    /found no entry that names a platform/,
  );
});

test('lists no more platforms than can be read', () => {
  const entries = Array.from({ length: 1000 }, (_, number) => entryFor(`linux/arch${number}`));
  const { message } = new PlatformNotFoundError(parsePlatform('linux/s390x'), entries);
  assert.match(message, /linux\/arch31 and 968 more$/);
});

/** `-` is an entry that names no platform. */
function entryFor(platform: string): Descriptor {
  const { mediaType, digest: entryDigest, size } = descriptor(MediaType.ociManifest, platform);
  const entry = { mediaType, digest: entryDigest, size };
  return platform === '-' ? entry : { ...entry, platform: parsePlatform(platform) };
}
