import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { digestHex, digestOf, type Digest } from '../../src/digest/digest.ts';
import type { CopyOptions, CopyResult } from '../../src/index.ts';
import { buildImage, buildIndex, randomBytes, type ImageFormat, type TestImage } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { tar } from '../support/tar-layer.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const content = tar({ 'etc/name': 'a', 'bin/tool': randomBytes('tool', 5000) });
const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar';
const DOCKER_LAYER = 'application/vnd.docker.image.rootfs.diff.tar';
const forms = { gzip: gzipSync(content), zstd: zstdCompressSync(content), plain: content };
type Form = keyof typeof forms;
const ending = {
  gzip: { oci: '+gzip', docker: '.gzip' },
  zstd: { oci: '+zstd', docker: '.zstd' },
  plain: { oci: '', docker: '' },
};

function mediaTypeOf(form: Form, format: ImageFormat): string {
  return `${format === 'oci' ? OCI_LAYER : DOCKER_LAYER}${ending[form][format]}`;
}

/** An image of one layer of that content, and of one of its own. */
function imageIn(form: Form, format: ImageFormat = 'oci'): TestImage {
  return buildImage({ layers: [forms[form]], format, layerMediaType: mediaTypeOf(form, format) });
}

interface Ends {
  readonly copier: TestCopier;
  readonly from: TestRegistry;
  /** Has the content in one form, in repository `base`. */
  readonly to: TestRegistry;
}

/** Teaches the cache all forms of the content; at the destination is one of them. */
async function learnt({ copier, from, to }: Ends, present: Form): Promise<void> {
  for (const form of ['gzip', 'zstd', 'plain'] as const) from.seed('learn', form, imageIn(form));
  await using elsewhere = await startRegistry();
  for (const form of ['gzip', 'zstd', 'plain'] as const) {
    const destination = form === present ? at(to, 'base:v1') : at(elsewhere, `${form}:v1`);
    await copier.copy(at(from, `learn:${form}`), destination, { substitute: true });
  }
  copier.events.length = 0;
  to.reset();
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}

function layersIn(registry: TestRegistry, repository: string, reference: string): readonly Descriptor[] {
  const { layers } = JSON.parse(String(registry.manifest(repository, reference)?.bytes)) as { layers: Descriptor[] };
  return layers;
}

const cases: readonly { wanted: Form; present: Form; format: ImageFormat; substituted: boolean }[] = [
  { wanted: 'zstd', present: 'gzip', format: 'oci', substituted: true },
  { wanted: 'gzip', present: 'zstd', format: 'oci', substituted: true },
  { wanted: 'plain', present: 'zstd', format: 'oci', substituted: true },
  { wanted: 'gzip', present: 'plain', format: 'oci', substituted: true },
  { wanted: 'gzip', present: 'plain', format: 'docker', substituted: true },
  { wanted: 'plain', present: 'gzip', format: 'docker', substituted: true },
  // Schema 2 has no name for zstd.
  { wanted: 'gzip', present: 'zstd', format: 'docker', substituted: false },
];
for (const { wanted, present, format, substituted } of cases) {
  for (const repository of ['base', 'app']) {
    const place = repository === 'base' ? 'in the same repository' : 'in another one';
    test(`${substituted ? 'reuses' : 'does not reuse'} ${present} for ${wanted} of a ${format} image, ${place}`, async (t) => {
      await using from = await startRegistry();
      await using to = await startRegistry();
      await using copier = new TestCopier(await openHome(t));
      await learnt({ copier, from, to }, present);
      const image = imageIn(wanted, format);
      from.seed('app', 'v1', image);
      const result = await copier.copy(at(from, 'app:v1'), at(to, `${repository}:v2`), { substitute: true });
      const there = substituted ? present : wanted;
      const digest = digestOf(forms[there]);
      assert.deepEqual(layersIn(to, repository, 'v2'), [
        { mediaType: mediaTypeOf(there, format), digest, size: forms[there].length },
      ]);
      assert.equal(result.digest, to.manifest(repository, 'v2')?.digest);
      assert.equal(result.digest === image.manifest.digest, !substituted);
      assert.deepEqual(copier.outcomes.includes('substituted'), substituted);
      const warning = `layer ${digestOf(forms[wanted])} is substituted by ${digest} (${present === 'plain' ? 'uncompressed' : present}): the manifest changes`;
      assert.deepEqual(copier.reported, substituted ? [warning] : []);
      assert.deepEqual(to.sessions, []);
      assert.deepEqual(to.blob(repository, digest), forms[there]);
    });
  }
}

test('substitutes nothing unless it is asked to', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  await learnt({ copier, from, to }, 'gzip');
  const result = await copier.copy(at(from, 'learn:zstd'), at(to, 'base:v2'));
  assert.deepEqual(result.digest, imageIn('zstd').manifest.digest);
  assert.deepEqual(copier.reported, []);
});

test('writes the new digest and size of a changed instance into its index', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  await learnt({ copier, from, to }, 'gzip');
  const untouched = buildImage({ layers: [randomBytes('another', 1000)] });
  from.seed(
    'app',
    'v1',
    buildIndex({ images: [{ image: imageIn('zstd') }, { image: untouched }], annotations: { a: 'b' } }),
  );
  const result = await copier.copy(at(from, 'app:v1'), at(to, 'base:v2'), { substitute: true });
  const index = JSON.parse(String(to.manifest('base', 'v2')?.bytes)) as {
    manifests: Descriptor[];
    annotations: unknown;
  };
  const [first, second] = index.manifests;
  assert.deepEqual(layersIn(to, 'base', first?.digest ?? '')[0]?.digest, digestOf(forms.gzip));
  assert.equal(first?.size, to.manifest('base', first?.digest ?? '')?.bytes.length);
  assert.equal(second?.digest, untouched.manifest.digest);
  assert.deepEqual(index.annotations, { a: 'b' });
  assert.equal(result.digest, to.manifest('base', 'v2')?.digest);
});

test('gives each image of an index what its format can name', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  await learnt({ copier, from, to }, 'zstd');
  const images = [imageIn('gzip', 'oci'), imageIn('gzip', 'docker')].map((image) => ({ image }));
  from.seed('app', 'v1', buildIndex({ images }));
  await copier.copy(at(from, 'app:v1'), at(to, 'base:v2'), { substitute: true });
  const { manifests } = JSON.parse(String(to.manifest('base', 'v2')?.bytes)) as { manifests: Descriptor[] };
  const layers = manifests.flatMap(({ digest }) => layersIn(to, 'base', digest));
  assert.deepEqual(
    layers.map(({ mediaType, digest }) => ({ mediaType, digest })),
    [
      { mediaType: mediaTypeOf('zstd', 'oci'), digest: digestOf(forms.zstd) },
      { mediaType: mediaTypeOf('gzip', 'docker'), digest: digestOf(forms.gzip) },
    ],
  );
});

test('writes a layer once that manifests of two formats share', async (t) => {
  await using from = await startRegistry();
  const home = await openHome(t);
  await using copier = new TestCopier(home);
  const layer = gzipSync(randomBytes('shared', 3 * 1024 * 1024));
  const images = (['oci', 'docker'] as const).map((format) => ({
    image: buildImage({ layers: [layer], format, layerMediaType: mediaTypeOf('gzip', format) }),
  }));
  const index = buildIndex({ images });
  from.seed('app', 'v1', index);
  const result = await copier.copy(at(from, 'app:v1'), `dir:${home.path}/image`, { substitute: true });
  assert.equal(result.digest, index.manifest.digest);
  assert.equal(from.count({ path: new RegExp(`/blobs/${digestOf(layer)}`) }), 1);
  assert.deepEqual(await readFile(`${home.path}/image/${digestHex(digestOf(layer))}`), layer);
});

test('sends the layer itself where the substitute is no more', async (t) => {
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  await learnt({ copier, from, to }, 'gzip');
  to.remove('base', digestOf(forms.gzip));
  const copy = (name: string): Promise<CopyResult> =>
    copier.copy(at(from, 'learn:zstd'), at(to, name), { substitute: true });
  assert.equal((await copy('app:v1')).digest, imageIn('zstd').manifest.digest);
  assert.deepEqual(to.sessions, []);
  to.reset();
  await copy('other:v1');
  assert.equal(to.count({ path: /from=base/ }), 0, 'the place is forgotten');
});

const forbidden: Readonly<Record<string, { readonly name: string; readonly options: CopyOptions }>> = {
  'digests are to be preserved': { name: 'app:v1', options: { preserveDigests: true } },
  'the destination names the digest': { name: `app@${imageIn('zstd').manifest.digest}`, options: {} },
};
for (const [reason, { name, options }] of Object.entries(forbidden)) {
  test(`refuses to substitute where ${reason} (behaviour 22)`, async (t) => {
    await using from = await startRegistry();
    await using to = await startRegistry();
    await using copier = new TestCopier(await openHome(t));
    from.seed('app', 'v1', imageIn('zstd'));
    await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, name), { ...options, substitute: true }), {
      message: new RegExp(`^blobs cannot be substituted: ${reason}`),
      code: 'ERR_SUBSTITUTION_REFUSED',
      kind: 'usage',
      hint: 'leave out --substitute',
    });
    assert.ok(to.requests.every(({ method }) => method === 'GET'));
  });
}
