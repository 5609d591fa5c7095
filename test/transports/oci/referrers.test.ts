import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createCopier } from '../../../src/index.ts';
import { parseReferrersIndex, referrersTag } from '../../../src/manifest/referrers-index.ts';
import type { Digest } from '../../../src/digest/digest.ts';
import { layoutBlobPath } from '../../../src/manifest/image-layout.ts';
import { openOciSource } from '../../../src/transports/oci/oci-source.ts';
import { buildArtifact, buildImage, type TestImage } from '../../support/images.ts';
import { requireTool, runTool } from '../../support/real-tools.ts';
import { startRegistry } from '../../support/registry.ts';
import { at, openHome, TestCopier } from '../../library/test-copier.ts';
import { index, referrers, seedSigned } from '../../library/signed-image.ts';
import { holdsBlobsOf, listedIn, writeLayout, type NamedImage } from './layout-directory.ts';

const all = Object.values(referrers);

test('what refers to an image goes into a layout and out of it, once', async (t) => {
  const home = await openHome(t);
  const lay = join(home.path, 'lay');
  await using from = await startRegistry({ referrers: true });
  await using to = await startRegistry({ referrers: true });
  seedSigned(from);
  await using copier = new TestCopier(home);
  const first = await copier.copy(at(from, 'app:v1'), `oci:${lay}`, { referrers: true });
  assert.ok(first.referrers !== undefined && first.referrers.copied === first.referrers.total);
  for (const image of [index, ...all]) assert.equal(await holdsBlobsOf(lay, image), true);
  const again = await copier.copy(at(from, 'app:v1'), `oci:${lay}`, { referrers: true });
  assert.equal(again.referrers?.copied, 0);

  await using plain = createCopier();
  assert.equal(await plain.digest(`oci:${lay}`), index.manifest.digest, 'what refers to the image is not taken for it');
  const out = await copier.copy(`oci:${lay}`, at(to, 'copy:v1'), { referrers: true });
  assert.equal(out.referrers?.copied, first.referrers.total);
  for (const { manifest } of all) assert.ok(to.manifest('copy', manifest.digest)?.bytes.equals(manifest.bytes));
});

for (const name of ['regctl', 'oras']) {
  test(`${name} finds what refers to an image in a layout of ours`, async (t) => {
    const tool = requireTool(t, name);
    if (tool === undefined) return;
    const home = await openHome(t);
    const lay = join(home.path, 'lay');
    const image = buildImage({ layers: { count: 1, size: 1000 } });
    const sbom = buildArtifact({ artifactType: 'application/spdx+json', files: { a: 'b' }, subject: image.manifest });
    await using from = await startRegistry({ referrers: true });
    from.seed('app', '1', image);
    from.seed('app', sbom.manifest.digest, sbom);
    await using copier = new TestCopier(home);
    await copier.copy(at(from, 'app:1'), `oci:${lay}`, { referrers: true });
    const args = name === 'oras' ? ['discover', '--oci-layout', `${lay}:1`] : ['artifact', 'list', `ocidir://${lay}:1`];
    const { stdout } = await runTool(tool, args, { env: { HOME: home.path } });
    assert.ok(stdout.includes(sbom.manifest.digest.slice(0, 20)), stdout);
  });
}

test('what another tool lists without a name is found by its subject', async (t) => {
  const home = await openHome(t);
  const lay = join(home.path, 'lay');
  const image = buildImage({ layers: { count: 1, size: 1000 } });
  const sbom = buildArtifact({ artifactType: 'application/spdx+json', files: { a: 'b' }, subject: image.manifest });
  await writeLayout(lay, ['1', image], [undefined, sbom]);
  await using to = await startRegistry({ referrers: true });
  await using copier = new TestCopier(home);
  const { referrers: copied } = await copier.copy(`oci:${lay}`, at(to, 'copy:1'), { referrers: true });
  assert.equal(copied?.copied, 1);
  assert.ok(to.manifest('copy', sbom.manifest.digest));
});

test('manifests without a name are read once, whatever number of manifests is asked about', async (t) => {
  const home = await openHome(t);
  const lay = join(home.path, 'lay');
  const pairs = [1000, 2000, 3000].map((size) => {
    const image = buildImage({ layers: { count: 1, size } });
    const subject = image.manifest;
    return { image, sbom: buildArtifact({ artifactType: 'application/spdx+json', files: { a: 'b' }, subject }) };
  });
  await writeLayout(
    lay,
    ...pairs.flatMap(({ image, sbom }, position): NamedImage[] => [
      [`${position}`, image],
      [undefined, sbom],
    ]),
  );
  await using source = await openOciSource({ path: lay, name: '1', digest: undefined });
  const asked = async ({ manifest }: TestImage): Promise<readonly Digest[]> => {
    const found: Digest[] = [];
    for await (const { digest } of source.listReferrers(manifest.digest)) found.push(digest);
    return found;
  };
  for (const { sbom } of pairs) {
    assert.deepEqual(await asked(sbom), []);
    await rm(join(lay, layoutBlobPath(sbom.manifest.digest)));
  }
  for (const { image, sbom } of pairs) assert.deepEqual(await asked(image), [sbom.manifest.digest]);
});

test('an index of referrers keeps what others wrote there', async (t) => {
  const home = await openHome(t);
  const lay = join(home.path, 'lay');
  const image = buildImage({ layers: { count: 1, size: 1000 } });
  const sbomOf = (text: string): ReturnType<typeof buildArtifact> =>
    buildArtifact({ artifactType: 'application/spdx+json', files: { a: text }, subject: image.manifest });
  await using copier = new TestCopier(home);
  for (const sbom of [sbomOf('one'), sbomOf('two')]) {
    await using from = await startRegistry({ referrers: true });
    from.seed('app', '1', image);
    from.seed('app', sbom.manifest.digest, sbom);
    await copier.copy(at(from, 'app:1'), `oci:${lay}`, { referrers: true });
  }
  await using plain = createCopier();
  const { bytes } = await plain.manifest(`oci:${lay}:${referrersTag(image.manifest.digest)}`);
  assert.equal(parseReferrersIndex(bytes)?.manifests.length, 2);
  assert.equal((await listedIn(lay)).length, 2);
});
