import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { RawManifest } from '../../../src/contract/blob-info.ts';
import { digestOf } from '../../../src/digest/digest.ts';
import type { ImgcopyError } from '../../../src/errors/imgcopy-error.ts';
import { parseReferrersIndex, referrersTag } from '../../../src/manifest/referrers-index.ts';
import { buildArtifact, buildImage, buildIndex, describe } from '../../support/images.ts';
import { startRegistry, type TestRegistry } from '../../support/registry.ts';
import { destinationAt, openAccess } from '../../support/registry-transport.ts';
import { referrerOf, subjectOf, writeByProcesses } from './referrers-writers.ts';

const image = buildImage({ layers: { count: 1, size: 1000 } });
const subject = image.manifest;
const tag = referrersTag(subject.digest);
const tagPath = new RegExp(`/manifests/${tag}$`);
const sboms = Array.from({ length: 3 }, (_, index) =>
  buildArtifact({ artifactType: 'application/sbom', files: { [`${index}`]: 'sbom' }, subject }),
);
const [sbom = image, other = image] = sboms;
const INDEX = 'application/vnd.oci.image.index.v1+json';

/** A registry without a referrers API, which checks no blobs. */
async function startOldRegistry(): Promise<TestRegistry> {
  return await startRegistry({ referrers: false, checkBlobs: false });
}

/** Writes manifests by their digests, and commits. */
async function write(registry: TestRegistry, manifests: readonly RawManifest[]): Promise<void> {
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  for (const manifest of manifests) await destination.putManifest(manifest, { instanceDigest: manifest.digest });
  await destination.commit();
}

function requestsOf(registry: TestRegistry): readonly string[] {
  return registry.requests.map(({ method, path, status }) => `${method} ${path.replace('/v2/app/', '')} ${status}`);
}

/** What the referrers tag lists. */
function listed(registry: TestRegistry): readonly string[] {
  const index = registry.manifest('app', tag);
  return (index && parseReferrersIndex(index.bytes, index.mediaType)?.manifests.map(({ digest }) => digest)) ?? [];
}

function seedTag(registry: TestRegistry, bytes: Buffer, mediaType: string): void {
  registry.seed('app', tag, {
    manifest: { bytes, mediaType, digest: digestOf(bytes) },
    instances: [],
    blobs: new Map(),
  });
}

test('lists a manifest in the referrers tag of its subject, where the registry does not', async () => {
  await using registry = await startOldRegistry();
  await write(registry, [sbom.manifest]);
  assert.deepEqual(requestsOf(registry), [
    `PUT manifests/${sbom.manifest.digest} 201`,
    `GET manifests/${tag} 404`,
    `PUT manifests/${tag} 201`,
    `HEAD manifests/${tag} 200`,
  ]);
  const { bytes, mediaType } = sbom.manifest;
  const entry = describe(bytes, mediaType, { artifactType: 'application/sbom' });
  const index = registry.manifest('app', tag);
  assert.deepEqual(JSON.parse(String(index?.bytes)), { schemaVersion: 2, mediaType: INDEX, manifests: [entry] });
  assert.equal(index?.mediaType, INDEX);
});

test('asks nothing more where the registry lists it, and for a manifest without a subject', async () => {
  await using registry = await startRegistry({ checkBlobs: false });
  await write(registry, [sbom.manifest]);
  registry.settings.referrers = false;
  await write(registry, [subject]);
  assert.deepEqual(requestsOf(registry), [
    `PUT manifests/${sbom.manifest.digest} 201`,
    `PUT manifests/${subject.digest} 201`,
  ]);
});

test('writes each index once for all that refers to its subject, and leaves it where all is listed', async () => {
  await using registry = await startOldRegistry();
  const manifests = sboms.map(({ manifest }) => manifest);
  await write(registry, manifests);
  assert.equal(registry.count({ method: 'PUT', path: tagPath }), 1);
  assert.deepEqual(
    listed(registry),
    manifests.map(({ digest }) => digest),
  );
  registry.reset();
  await write(registry, manifests);
  assert.deepEqual(requestsOf(registry).slice(-1), [`GET manifests/${tag} 200`]);
});

test('adds to an index that is there, and keeps what it does not know', async () => {
  await using registry = await startOldRegistry();
  const held = `{"manifests":[{"mediaType":"x/y","digest":"${subject.digest}","size":3,"new":1e400}], "mediaType":"${INDEX}","schemaVersion":2,"more":12345678901234567890}`;
  seedTag(registry, Buffer.from(held), INDEX);
  await write(registry, [sbom.manifest]);
  const entry = JSON.stringify(
    describe(sbom.manifest.bytes, sbom.manifest.mediaType, { artifactType: 'application/sbom' }),
  );
  assert.equal(String(registry.manifest('app', tag)?.bytes), held.replace('}], ', `},${entry}], `));
});

test('lists what is there already, where the run that wrote it did not come to that', async () => {
  for (const referrers of [false, true]) {
    await using registry = await startRegistry({ referrers, checkBlobs: false });
    registry.seed('app', 'v1', sbom);
    await using access = openAccess();
    await using destination = await destinationAt(access, registry, 'app:v1');
    await destination.currentManifest();
    await destination.putManifest(sbom.manifest);
    await destination.commit();
    assert.equal(registry.count({ method: 'PUT' }), referrers ? 0 : 1);
    assert.deepEqual(listed(registry), referrers ? [] : [sbom.manifest.digest]);
  }
});

test('only a 404 means that there is no index: nothing is written after another failure', async () => {
  for (const status of [400, 401, 403, 405, 429, 500]) {
    await using registry = await startOldRegistry();
    registry.behave({ match: { method: 'GET', path: tagPath }, status });
    await assert.rejects(write(registry, [sbom.manifest]), (error: ImgcopyError) => {
      assert.match(error.message, new RegExp(`listing ${sbom.manifest.digest} in the referrers tag ${tag}`));
      return true;
    });
    assert.equal(registry.manifest('app', tag), undefined, `${status}`);
  }
});

test('never replaces a tag that is no index of referrers', async () => {
  const list = buildIndex({ images: [{ image }], format: 'docker' });
  const cases = [
    { bytes: image.manifest.bytes, mediaType: image.manifest.mediaType },
    { bytes: list.manifest.bytes, mediaType: list.manifest.mediaType },
    { bytes: Buffer.from('not JSON'), mediaType: INDEX },
    { bytes: Buffer.from(`{"schemaVersion":2,"mediaType":"${INDEX}","manifests":[{}]}`), mediaType: INDEX },
  ];
  for (const { bytes, mediaType } of cases) {
    await using registry = await startOldRegistry();
    seedTag(registry, bytes, mediaType);
    await assert.rejects(write(registry, [sbom.manifest]), { code: 'ERR_REFERRERS_TAG' });
    assert.deepEqual(registry.manifest('app', tag)?.bytes, bytes);
  }
});

test('does not take the subject itself for its index of referrers, as GitLab answers', async () => {
  const index = buildIndex({ images: [{ image }] });
  const signature = buildArtifact({ files: {}, subject: index.manifest });
  await using registry = await startOldRegistry();
  registry.seed('app', referrersTag(index.manifest.digest), index);
  await assert.rejects(write(registry, [signature.manifest]), { code: 'ERR_REFERRERS_TAG' });
  assert.deepEqual(registry.manifest('app', referrersTag(index.manifest.digest)), index.manifest);
});

test('fails where tags are immutable and there is an index, and says so', async () => {
  await using registry = await startOldRegistry();
  await write(registry, [sbom.manifest]);
  registry.settings.immutableTags = true;
  await assert.rejects(write(registry, [other.manifest]), { code: 'ERR_TAG_IMMUTABLE', side: 'destination' });
  assert.deepEqual(listed(registry), [sbom.manifest.digest]);
});

test('takes an immutable tag for written where the answer to its first PUT was lost', async () => {
  await using registry = await startOldRegistry();
  registry.settings.immutableTags = true;
  registry.behave({ match: { method: 'PUT', path: tagPath, times: 1 }, loseAnswer: 'reset' });
  await write(registry, [sbom.manifest]);
  assert.deepEqual(listed(registry), [sbom.manifest.digest]);
});

test('adds its entry again where another writer overwrote it', async () => {
  await using registry = await startOldRegistry();
  const overwrite = (): void => {
    const { bytes, mediaType } = other.manifest;
    seedTag(
      registry,
      Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [describe(bytes, mediaType)] })),
      INDEX,
    );
  };
  registry.behave({ match: { method: 'HEAD', path: tagPath, times: 2 }, call: overwrite });
  await write(registry, [sbom.manifest]);
  assert.deepEqual(listed(registry), [other.manifest.digest, sbom.manifest.digest]);
});

test('says what is missing where others overwrite it again and again', async () => {
  await using registry = await startOldRegistry();
  registry.behave({ match: { method: 'HEAD', path: tagPath }, call: () => registry.remove('app', tag) });
  await assert.rejects(write(registry, [sbom.manifest]), (error: ImgcopyError) => {
    assert.equal(error.code, 'ERR_REFERRERS_TAG');
    assert.match((error.cause as Error).message, new RegExp(`${sbom.manifest.digest} is missing`));
    return true;
  });
  assert.equal(registry.count({ method: 'PUT', path: tagPath }), 10);
});

test('writers of one process take turns', async () => {
  await using registry = await startOldRegistry();
  await using access = openAccess({ policy: { sleep: () => nextTurn() } });
  const writing = sboms.map(async ({ manifest }) => {
    await using destination = await destinationAt(access, registry, 'app:v1');
    await destination.putManifest(manifest, { instanceDigest: manifest.digest });
    await destination.commit();
  });
  await Promise.all(writing);
  assert.deepEqual(new Set(listed(registry)), new Set(sboms.map(({ manifest }) => manifest.digest)));
  assert.equal(registry.count({ method: 'PUT', path: tagPath }), sboms.length);
});

test('two processes that write the same index at once lose no entry, in 100 tries', async (t) => {
  await using registry = await startOldRegistry();
  const writers = ['ann', 'bob'];
  // Each is told that there is no index only when the other one asks as well.
  const asking = new Map<string, PromiseWithResolvers<void>>();
  registry.behave({
    match: { method: 'GET', path: /sha256-/ },
    call: ({ path }) => {
      const first = asking.get(path);
      first?.resolve();
      const both = first ?? Promise.withResolvers<void>();
      asking.set(path, both);
      return both.promise;
    },
  });
  const subjects = Array.from({ length: 100 }, (_, number) => number);
  await writeByProcesses(t, registry, writers, subjects);
  for (const number of subjects) {
    const index = registry.manifest('app', referrersTag(subjectOf(number).manifest.digest));
    const digests = index && parseReferrersIndex(index.bytes)?.manifests.map(({ digest }) => digest);
    const wanted = writers.map((writer) => referrerOf(number, writer).manifest.digest);
    assert.deepEqual(digests?.toSorted(), wanted.toSorted(), `subject ${number}`);
  }
  // Some entries were overwritten, and added again.
  assert.ok(registry.count({ method: 'PUT', path: /sha256-/ }) > 2 * subjects.length);
});
