import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../src/digest/digest.ts';
import { buildImage, randomBytes, type TestImage } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const MIB = 1024 * 1024;

/** An image whose layer is named by sha512, and its config by sha256. */
function imageWithSha512(layer: Buffer): TestImage {
  const image = buildImage({ layers: [layer] });
  const [name, digest] = [digestOf(layer), digestOf(layer, 'sha512')];
  // A diff_id is the digest of a layer as well, in the config; that stays.
  const bytes = Buffer.from(image.manifest.bytes.toString().replace(name, digest));
  const blobs = new Map([...image.blobs].map(([key, blob]) => [key === name ? digest : key, blob]));
  return { manifest: { ...image.manifest, bytes, digest: digestOf(bytes) }, instances: [], blobs };
}

for (const [what, size] of [
  ['a small layer', 1000],
  ['a layer that is streamed by PATCH', 5 * MIB],
] as const) {
  test(`an upload of ${what} says that its digest is sha512, where another repository may have it too`, async (t) => {
    await using from = await startRegistry();
    await using to = await startRegistry({ needsDigestAlgorithm: true });
    await using copier = new TestCopier(await openHome(t));
    const image = imageWithSha512(randomBytes('layer', size));
    from.seed('app', 'v1', image);
    await copier.copy(at(from, 'app:v1'), at(to, 'app:v1'));
    assert.deepEqual(to.manifest('app', 'v1'), image.manifest);
    for (const [digest, bytes] of image.blobs) assert.deepEqual(to.blob('app', digest), bytes);
    const posts = to.select({ method: 'POST' }).map(({ path }) => path);
    const [sha512, sha256] = [true, false].map((wanted) => posts.filter((path) => path.includes('sha512') === wanted));
    assert.equal(sha512?.length, 1);
    assert.ok(sha512?.every((path) => path.includes('digest-algorithm=sha512')));
    assert.ok(sha256?.every((path) => !path.includes('digest-algorithm')));

    // A mount that the registry declines opens an upload, which has to know it as well.
    to.settings.mount = 'always-202';
    await copier.copy(at(to, 'app:v1'), at(to, 'copy:v1'));
    assert.deepEqual(to.manifest('copy', 'v1'), image.manifest);
  });
}
