import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { digestHex } from '../../../src/digest/digest.ts';
import { referrersTag } from '../../../src/manifest/referrers-index.ts';
import { images, index, notationOf, referrers, SBOM, seedSigned, tagged } from '../../library/signed-image.ts';
import { at, openHome, TestCopier } from '../../library/test-copier.ts';
import type { TestImage } from '../../support/images.ts';
import { startRegistry, type TestRegistry } from '../../support/registry.ts';

const [amd64] = images as [TestImage];
const all = { total: 8, copied: 8, missing: 0 };

async function openStage(
  t: TestContext,
): Promise<{ readonly layout: string; readonly copier: TestCopier; readonly registry: TestRegistry }> {
  const home = await openHome(t);
  const registry = await startRegistry();
  seedSigned(registry);
  const copier = new TestCopier(home);
  t.after(async () => {
    await copier[Symbol.asyncDispose]();
    await registry.close();
  });
  return { layout: join(home.path, 'layout'), copier, registry };
}

async function namesIn(layout: string): Promise<readonly (string | undefined)[]> {
  const { manifests } = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as {
    manifests: readonly { annotations?: Record<string, string> }[];
  };
  return manifests.map(({ annotations }) => annotations?.['org.opencontainers.image.ref.name']);
}

test('a layout lists referrers as a registry without an API has them, and gives them back', async (t) => {
  const { layout, copier, registry } = await openStage(t);
  const options = { referrers: true };
  assert.deepEqual((await copier.copy(at(registry, 'app:v1'), `oci:${layout}`, options)).referrers, all);
  const subjects = [index, amd64, images[1] ?? amd64, referrers['an SBOM of an instance']];
  const tags = subjects.map(({ manifest }) => referrersTag(manifest.digest));
  assert.deepEqual(new Set(await namesIn(layout)), new Set(['v1', ...tags, ...Object.keys(tagged)]));
  const back = await copier.copy(`oci:${layout}`, at(registry, 'back:v1'), options);
  assert.deepEqual([back.digest, back.referrers], [index.manifest.digest, all]);
  for (const { manifest } of Object.values(referrers))
    assert.deepEqual(registry.manifest('back', manifest.digest), manifest);
  for (const [tag, { manifest }] of Object.entries(tagged)) assert.deepEqual(registry.manifest('back', tag), manifest);
});

test('a layout without -r holds the image alone, and what was signed since is added', async (t) => {
  const { layout, copier, registry } = await openStage(t);
  await copier.copy(at(registry, 'app:v1'), `oci:${layout}`);
  assert.deepEqual(await namesIn(layout), ['v1']);
  const first = await copier.copy(at(registry, 'app:v1'), `oci:${layout}`, { referrerTypes: [SBOM] });
  assert.deepEqual(first.referrers, { total: 1, copied: 1, missing: 0 });
  registry.seed('app', undefined, notationOf(amd64.manifest, 'later'));
  const second = await copier.copy(at(registry, 'app:v1'), `oci:${layout}`, { referrers: true });
  assert.deepEqual([second.skipped, second.referrers], ['same', { total: 9, copied: 8, missing: 0 }]);
  assert.deepEqual(
    (await copier.copy(`oci:${layout}`, at(registry, 'back:v1'), { referrers: true })).referrers?.total,
    9,
  );
});

test('what a layout lists and lacks is reported, and copied into it again', async (t) => {
  const { layout, copier, registry } = await openStage(t);
  await copier.copy(at(registry, 'app:v1'), `oci:${layout}`, { referrers: true });
  const { digest } = referrers['a bundle of the other instance'].manifest;
  await rm(join(layout, 'blobs/sha256', digestHex(digest)));
  const back = await copier.copy(`oci:${layout}`, at(registry, 'back:v1'), { referrers: true });
  assert.deepEqual(back.referrers, { total: 8, copied: 7, missing: 1 });
  assert.match(copier.reported.join('\n'), new RegExp(`${digest}, which refers to .* is not at the source`));
  const again = await copier.copy(at(registry, 'app:v1'), `oci:${layout}`, { referrers: true });
  assert.deepEqual(again.referrers, { total: 8, copied: 1, missing: 0 });
});

test('a referrer whose blob a layout lacks is reported, and the rest is copied', async (t) => {
  const { layout, copier, registry } = await openStage(t);
  await copier.copy(at(registry, 'app:v1'), `oci:${layout}`, { referrers: true });
  const { manifest, blobs } = referrers['a signature on the index'];
  const [signature] = [...blobs].find(([, bytes]) => bytes.toString() !== '{}') ?? [];
  assert.ok(signature !== undefined);
  await rm(join(layout, 'blobs/sha256', digestHex(signature)));
  // Elsewhere, for this registry could mount it.
  await using other = await startRegistry();
  const back = await copier.copy(`oci:${layout}`, at(other, 'back:v1'), { referrers: true });
  // Another one has the same blob.
  assert.deepEqual(back.referrers, { total: 8, copied: 6, missing: 2 });
  assert.equal(other.manifest('back', manifest.digest), undefined);
  assert.match(copier.reported.join('\n'), new RegExp(`${manifest.digest}, which refers to .* is not at the source`));
});

test('copies into one layout at the same time lose no referrer', async (t) => {
  const { layout, copier, registry } = await openStage(t);
  const types = [[SBOM], ['*notary*'], ['*bundle*'], ['att'], ['sbom'], ['sig']];
  const copies = types.map((referrerTypes) => copier.copy(at(registry, 'app:v1'), `oci:${layout}`, { referrerTypes }));
  await Promise.all(copies);
  const back = await copier.copy(`oci:${layout}`, at(registry, 'back:v1'), { referrers: true });
  // The signatures on the SBOM were not wanted with it.
  assert.deepEqual(back.referrers, { total: 6, copied: 6, missing: 0 });
});

test('a name that is taken by something else is not overwritten', async (t) => {
  const { layout, copier, registry } = await openStage(t);
  const tag = referrersTag(amd64.manifest.digest);
  await copier.copy(at(registry, 'app:v1'), `oci:${layout}`);
  await copier.copy(at(registry, `app@${amd64.manifest.digest}`), `oci:${layout}:${tag}`);
  const before = await readFile(join(layout, 'index.json'));
  const copying = copier.copy(at(registry, 'app:v1'), `oci:${layout}`, { referrerTypes: [SBOM] });
  await assert.rejects(copying, { code: 'ERR_REFERRERS_TAG', side: 'destination' });
  assert.deepEqual(await readFile(join(layout, 'index.json')), before);
});

test('finds what index.json lists without a name, as oras writes it', async (t) => {
  const { layout, copier, registry } = await openStage(t);
  await copier.copy(at(registry, 'app:v1'), `oci:${layout}`, { referrerTypes: [SBOM] });
  const path = join(layout, 'index.json');
  const listing = JSON.parse(await readFile(path, 'utf8')) as {
    manifests: { digest: string; annotations?: Record<string, string> }[];
  };
  const { bytes, mediaType, digest } = referrers['an SBOM of an instance'].manifest;
  const own = listing.manifests.filter(
    ({ annotations }) => annotations?.['org.opencontainers.image.ref.name'] === 'v1',
  );
  const manifests = [...own, { mediaType, digest, size: bytes.length, artifactType: SBOM }];
  await writeFile(path, JSON.stringify({ ...listing, manifests }));
  const back = await copier.copy(`oci:${layout}:v1`, at(registry, 'back:v1'), { referrers: true });
  assert.deepEqual(back.referrers, { total: 1, copied: 1, missing: 0 });
  assert.deepEqual(registry.manifest('back', digest)?.bytes, bytes);
});
