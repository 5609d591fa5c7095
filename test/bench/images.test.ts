import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { pushImage } from '../../bench/images.ts';
import { pushLayout, tagDigest } from '../../bench/push.ts';
import type { Digest } from '../../src/digest/digest.ts';
import { startRegistry } from '../support/registry.ts';

interface Parsed {
  readonly manifests: readonly { readonly digest: string; readonly platform: { readonly architecture: string } }[];
  readonly config: { readonly digest: Digest };
  readonly layers: readonly { readonly digest: Digest; readonly size: number }[];
}

test('pushes an index whose instances and layers are all there, all different, and valid', async () => {
  await using registry = await startRegistry();
  const repository = { url: registry.url, name: 'app' };
  const digest = await pushImage(repository, 'v1', { platforms: 2, layers: [100_000, 5_000_000] });

  assert.equal(await tagDigest(repository, 'v1'), digest);
  const index = parsed(registry.manifest('app', 'v1')?.bytes);
  assert.deepEqual(
    index.manifests.map(({ platform }) => platform.architecture),
    ['amd64', 'arm64'],
  );
  for (const instance of index.manifests) {
    const { config, layers } = parsed(registry.manifest('app', instance.digest)?.bytes);
    const blobs = layers.map((layer) => registry.blob('app', layer.digest) ?? Buffer.alloc(0));
    assert.deepEqual(
      blobs.map((blob) => blob.length),
      layers.map(({ size }) => size),
    );
    const { rootfs } = JSON.parse(String(registry.blob('app', config.digest))) as { rootfs: { diff_ids: string[] } };
    assert.deepEqual(
      blobs.map((blob) => `sha256:${hash('sha256', gunzipSync(blob))}`),
      rootfs.diff_ids,
    );
  }
  assert.equal(registry.blobs('app').length, 2 * 3);
});

test('makes the same image of the same plan', async () => {
  await using registry = await startRegistry();
  const push = (name: string): Promise<string> =>
    pushImage({ url: registry.url, name }, 'v1', { layers: [1000, 2000] });
  assert.equal(await push('one'), await push('two'));
});

test('pushes the image of an OCI layout under its own digest', async () => {
  await using registry = await startRegistry();
  const repository = { url: registry.url, name: 'app' };
  const layout = fileURLToPath(new URL('../fixtures/images/gzip/v1', import.meta.url));
  const digest = await pushLayout(repository, 'v1', layout);
  assert.equal(await tagDigest(repository, 'v1'), digest);
  assert.equal(registry.blobs('app').length, 3);
});

function parsed(manifest: Buffer | undefined): Parsed {
  return JSON.parse(String(manifest)) as Parsed;
}
