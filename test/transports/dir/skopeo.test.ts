import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { buffer } from 'node:stream/consumers';
import { type Digest, digestHex } from '../../../src/digest/digest.ts';
import { openDirSource } from '../../../src/transports/dir/dir-source.ts';
import { currentDigest } from '../../support/current-digest.ts';
import { buildImage, buildIndex, buildSchema1, randomBytes, tarGzLayer, type TestImage } from '../../support/images.ts';
import { requireTool, runTool } from '../../support/real-tools.ts';
import { assertHoldsOnly, beginDirDestination, putImage, temporaryDirectory } from './image-directory.ts';

const layers = ['a', 'b'].map((name) => tarGzLayer({ [name]: randomBytes(name, 3000) }));
const oci = buildImage({ layers });
const images: [string, TestImage][] = [
  ['an OCI image', oci],
  ['a Docker image', buildImage({ layers, format: 'docker' })],
  ['an index', buildIndex({ images: [{ image: oci, platform: { os: 'linux', architecture: 'amd64' } }] })],
  ['a schema 1 image', buildSchema1({ layers })],
];

for (const [what, image] of images) {
  test(`skopeo reads ${what} that was written, and what skopeo writes is read (behaviour 73)`, async (t) => {
    const skopeo = requireTool(t, 'skopeo');
    if (skopeo === undefined) return;
    const parent = await temporaryDirectory(t);
    const [ours, theirs] = [join(parent, 'ours'), join(parent, 'theirs')];
    {
      await using destination = await beginDirDestination(ours);
      await putImage(destination, image);
    }
    const { stdout } = await runTool(skopeo, ['inspect', '--raw', `dir:${ours}`]);
    assert.equal(stdout, image.manifest.bytes.toString());
    await runTool(skopeo, ['--insecure-policy', 'copy', '--all', '--preserve-digests', `dir:${ours}`, `dir:${theirs}`]);
    await assertHoldsOnly(theirs, image);

    await using source = await openDirSource(theirs);
    assert.equal(await source.getManifestDigest(), image.manifest.digest);
    for (const [digest, bytes] of image.blobs) {
      const { stream } = await source.getBlob({ digest, size: bytes.length });
      assert.ok((await buffer(stream)).equals(bytes));
    }
    await using destination = await beginDirDestination(theirs);
    assert.equal(await currentDigest(destination), image.manifest.digest);
  });
}

test('signatures pass through skopeo both ways (behaviour 73)', async (t) => {
  const skopeo = requireTool(t, 'skopeo');
  if (skopeo === undefined) return;
  const parent = await temporaryDirectory(t);
  const [ours, theirs] = [join(parent, 'ours'), join(parent, 'theirs')];
  const signatures = ['one', 'two'].map((text) => Buffer.from(`\u0088${text}`, 'latin1'));
  {
    await using destination = await beginDirDestination(ours);
    await putImage(destination, oci, signatures);
  }
  await runTool(skopeo, ['--insecure-policy', 'copy', `dir:${ours}`, `dir:${theirs}`]);
  await using source = await openDirSource(theirs);
  assert.deepEqual(await source.getSignaturesWithFormat(), signatures);
});

test('a copy of skopeo that was cut short is taken over', async (t) => {
  const directory = await temporaryDirectory(t);
  const [[digest, bytes]] = [...oci.blobs] as [[Digest, Buffer]];
  await writeFile(join(directory, 'version'), 'Directory Transport Version: 1.1\n');
  await writeFile(join(directory, digestHex(digest)), bytes);
  await using destination = await beginDirDestination(directory);
  const written = await putImage(destination, oci);
  assert.equal(written.includes(digest), false);
  assert.deepEqual(await readFile(join(directory, 'manifest.json')), oci.manifest.bytes);
});
