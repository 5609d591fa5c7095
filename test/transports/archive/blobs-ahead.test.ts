import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test, type TestContext } from 'node:test';
import type { Digest } from '../../../src/digest/digest.ts';
import { at, openHome, TestCopier } from '../../library/test-copier.ts';
import { buildImage, buildIndex, randomBytes, tarGzLayer, type TestImage } from '../../support/images.ts';
import { startRegistry, type TestRegistry } from '../../support/registry.ts';
import {
  craneArchive,
  dockerSave,
  dockerSave25,
  ociArchive,
  skopeoArchive,
  tarOf,
  temporaryFolder,
  withPlainLayers,
  type RawMember,
} from './archives.ts';

/** A blob that does not go up while the rest is held back would be waited for without end. */
const timeout = 20_000;

const layers = ['one', 'two', 'three'].map((name) => tarGzLayer({ [name]: randomBytes(name, 300_000) }));
const image = buildImage({ layers });
const plain = withPlainLayers(image);
const other = buildImage({ layers: [tarGzLayer({ other: randomBytes('other', 300_000) }), ...layers] });
const index = buildIndex({
  images: [
    { image, platform: { os: 'linux', architecture: 'amd64' } },
    { image: other, platform: { os: 'linux', architecture: 'arm64' } },
  ],
});

interface Form {
  readonly transport: 'oci-archive' | 'docker-archive';
  readonly members: readonly RawMember[];
  readonly image: TestImage;
}

const forms: Readonly<Record<string, Form>> = {
  'an OCI archive whose index is last': { transport: 'oci-archive', members: ociArchive(image), image },
  'an OCI archive with several platforms': { transport: 'oci-archive', members: ociArchive(index), image: index },
  'docker save from Docker 25 on': { transport: 'docker-archive', ...dockerSave25(image, 'app:v1') },
  'docker save before Docker 25': { transport: 'docker-archive', members: dockerSave(image, ['app:v1']), image: plain },
  'a docker-archive of skopeo': {
    transport: 'docker-archive',
    members: skopeoArchive(image, ['app:v1']),
    image: plain,
  },
  'a docker-archive of crane': { transport: 'docker-archive', members: craneArchive(image, ['app:v1']), image },
};

for (const [what, { transport, members, image: expected }] of Object.entries(forms)) {
  test(`layers of a pipe go up before the manifest has come: ${what}`, { timeout }, async (t) => {
    const { pipe, registry, copier } = await stage(t);
    const writing = feed(pipe, members, async () => {
      await registry.until(() => registry.blobs('app').length > 0);
      assert.deepEqual(registry.tags('app'), []);
    });
    const result = await copier.copy(`${transport}:${pipe}`, at(registry, 'app:v1'));
    await writing;
    assert.equal(result.digest, expected.manifest.digest);
    assertHolds(registry, 'app', expected);
    const { blobs, bytes } = result;
    assert.deepEqual([blobs.total, blobs.copied], [expected.blobs.size, expected.blobs.size]);
    assert.deepEqual([bytes.fetched, bytes.uploaded], [bytes.total, bytes.total]);
    for (const digest of expected.blobs.keys()) assertSentOnce(registry, digest);
  });
}

test(
  'a destination without a tag takes that of the archive, and its layers go up before that is known',
  { timeout },
  async (t) => {
    const { pipe, registry, copier } = await stage(t);
    const { members } = dockerSave25(image, 'app:v7');
    const writing = feed(pipe, members, () => registry.until(() => registry.blobs('app').length > 0));
    const result = await copier.copy(`docker-archive:${pipe}`, at(registry, 'app'));
    await writing;
    assert.deepEqual(registry.tags('app'), ['v7']);
    assert.equal(result.digest, plain.manifest.digest);
    for (const digest of plain.blobs.keys()) assertSentOnce(registry, digest);
    const started = copier.events.filter(({ type }) => type === 'started');
    assert.deepEqual(started, [
      { type: 'started', source: `docker-archive:${pipe}`, destination: at(registry, 'app') },
    ]);
  },
);

test('an image that is there already costs no request for its layers', { timeout }, async (t) => {
  const { pipe, registry, copier } = await stage(t);
  registry.seed('app', 'v1', image);
  const writing = feed(pipe, ociArchive(image));
  const { skipped, requests } = await copier.copy(`oci-archive:${pipe}`, at(registry, 'app:v1'));
  await writing;
  assert.deepEqual([skipped, requests.destination], ['same', 1]);
});

test('with -n, nothing goes up where the tag exists', { timeout }, async (t) => {
  const { pipe, registry, copier } = await stage(t);
  registry.seed('app', 'v1', plain);
  const writing = feed(pipe, ociArchive(image));
  const { skipped } = await copier.copy(`oci-archive:${pipe}`, at(registry, 'app:v1'), { noClobber: true });
  await writing;
  assert.equal(skipped, 'exists');
  assert.equal(registry.count({ method: 'POST' }), 0);
});

async function stage(
  t: TestContext,
): Promise<{ readonly pipe: string; readonly registry: TestRegistry; readonly copier: TestCopier }> {
  const pipe = join(await temporaryFolder(t), 'pipe');
  execFileSync('mkfifo', [pipe]);
  const registry = await startRegistry();
  const copier = new TestCopier(await openHome(t));
  t.after(async () => {
    await copier[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
  });
  return { pipe, registry, copier };
}

/** Writes an archive into a pipe, and waits behind its first layer. */
async function feed(pipe: string, members: readonly RawMember[], hold?: () => Promise<void>): Promise<void> {
  const archive = tarOf(members);
  const firstLayer = members.findIndex(({ bytes }) => (bytes?.length ?? 0) > 100_000);
  // Without the two blocks of zeros that end an archive.
  const held = tarOf(members.slice(0, firstLayer + 1)).length - 1024;
  async function* pieces(): AsyncGenerator<Buffer> {
    yield archive.subarray(0, held);
    await hold?.();
    yield archive.subarray(held);
  }
  await pipeline(Readable.from(pieces()), createWriteStream(pipe));
}

function assertHolds(registry: TestRegistry, repository: string, { manifest, instances, blobs }: TestImage): void {
  for (const { digest, bytes } of [manifest, ...instances])
    assert.deepEqual(registry.manifest(repository, digest)?.bytes, bytes);
  for (const [digest, bytes] of blobs) assert.deepEqual(registry.blob(repository, digest), bytes);
  assert.equal(registry.blobs(repository).length, blobs.size);
}

/** One HEAD at most, one upload, and no request after it is there. */
function assertSentOnce(registry: TestRegistry, digest: Digest): void {
  const path = new RegExp(digest.replace(':', '(?::|%3A)'));
  const methods = registry.select({ path }).map(({ method }) => method);
  assert.ok(methods.filter((method) => method === 'HEAD').length <= 1, methods.join());
  assert.equal(methods.filter((method) => method === 'PUT').length, 1, methods.join());
  assert.equal(methods.at(-1), 'PUT');
}
