import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createCopier } from '../../../src/index.ts';
import { buildImage, buildIndex, randomBytes, tarGzLayer, type TestImage } from '../../support/images.ts';
import { requireTool, runTool } from '../../support/real-tools.ts';
import { startRegistry } from '../../support/registry.ts';
import { at, openHome, TestCopier } from '../../library/test-copier.ts';
import { assertHoldsOnly } from '../dir/image-directory.ts';
import { holdsBlobsOf, listedIn, listing } from './layout-directory.ts';

const file = randomBytes('file', 3000);
const layers = [tarGzLayer({ base: randomBytes('base', 2000) }), tarGzLayer({ file })];
const image = buildImage({ layers });
const arm = buildImage({ layers, platform: { os: 'linux', architecture: 'arm64' } });
const index = buildIndex({
  images: [
    { image, platform: { os: 'linux', architecture: 'amd64' } },
    { image: arm, platform: { os: 'linux', architecture: 'arm64' } },
  ],
});
const docker = buildImage({ layers, format: 'docker' });

const oci: readonly (readonly [string, TestImage])[] = [
  ['an image', image],
  ['an index', index],
];
const all = [...oci, ['a Docker image', docker]] as const;

/** A tool that copies an image from one layout to another. */
interface LayoutTool {
  readonly name: string;
  readonly images: readonly (readonly [string, TestImage])[];
  readonly args: (from: string, to: string) => readonly string[];
}

const tools: readonly LayoutTool[] = [
  {
    name: 'skopeo',
    images: oci,
    args: (from, to) => ['--insecure-policy', 'copy', '--all', '--preserve-digests', `oci:${from}`, `oci:${to}`],
  },
  { name: 'regctl', images: all, args: (from, to) => ['image', 'copy', `ocidir://${from}`, `ocidir://${to}`] },
  { name: 'oras', images: all, args: (from, to) => ['copy', '--from-oci-layout', from, '--to-oci-layout', to] },
];

/** A layout of ours, with this image and another one. */
async function openStage(
  t: TestContext,
  of: TestImage,
): Promise<{ readonly path: string; readonly ours: string; readonly copier: TestCopier }> {
  const home = await openHome(t);
  const registry = await startRegistry();
  t.after(() => registry[Symbol.asyncDispose]());
  const copier = new TestCopier(home);
  t.after(() => copier[Symbol.asyncDispose]());
  const ours = join(home.path, 'ours');
  registry.seed('app', '1', of);
  registry.seed('app', 'other', buildImage({ layers: [tarGzLayer({ other: 'other' })] }));
  await copier.copy(at(registry, 'app:other'), `oci:${ours}`);
  await copier.copy(at(registry, 'app:1'), `oci:${ours}`);
  return { path: home.path, ours, copier };
}

for (const { name, images, args } of tools) {
  for (const [what, of] of images) {
    test(`${name} reads ${what} in a layout of ours, and we read and extend the one that it writes`, async (t) => {
      const tool = requireTool(t, name);
      if (tool === undefined) return;
      const { path, ours, copier } = await openStage(t, of);
      const theirs = join(path, 'theirs');
      await runTool(tool, args(`${ours}:1`, `${theirs}:v1`), { env: { HOME: path } });
      const named = (await listedIn(theirs)).filter((listed) => !listed.startsWith('@'));
      assert.deepEqual(named, listing(['v1', of]));
      assert.equal(await holdsBlobsOf(theirs, of), true);

      await copier.copy(`oci:${theirs}`, `dir:${join(path, 'read')}`);
      await assertHoldsOnly(join(path, 'read'), of);
      await copier.copy(`oci:${ours}:other`, `oci:${theirs}`);
      await runTool(tool, args(`${theirs}:other`, `${join(path, 'again')}:x`), { env: { HOME: path } });
      await using plain = createCopier();
      assert.equal(await plain.digest(`oci:${path}/again:x`), await plain.digest(`oci:${ours}:other`));
    });
  }
}

for (const [what, of] of all) {
  test(`crane pushes ${what} from a layout of ours, and we read the layout that it pulls`, async (t) => {
    const crane = requireTool(t, 'crane');
    if (crane === undefined) return;
    const { path, ours, copier } = await openStage(t, of);
    const alone = join(path, 'alone');
    await copier.copy(`oci:${ours}:1`, `oci:${alone}`);
    await using registry = await startRegistry();
    await runTool(crane, ['push', '--insecure', alone, `${registry.host}/app:1`, ...(of === index ? ['--index'] : [])]);
    const pushed = registry.manifest('app', '1');
    // It may push the layout's own index around the image, which then is the image's only instance.
    const instances = pushed === undefined ? '' : pushed.bytes.toString();
    assert.ok(pushed?.digest === of.manifest.digest || instances.includes(of.manifest.digest));

    const theirs = join(path, 'theirs');
    registry.seed('app', '2', of);
    await runTool(crane, ['pull', '--insecure', '--format=oci', `${registry.host}/app:2`, theirs]);
    await copier.copy(`oci:${theirs}`, `dir:${join(path, 'read')}`);
    await assertHoldsOnly(join(path, 'read'), of);
  });
}

test('umoci unpacks an image of ours, and what it names we read', async (t) => {
  const umoci = requireTool(t, 'umoci');
  if (umoci === undefined) return;
  const { path, ours, copier } = await openStage(t, image);
  await runTool(umoci, ['unpack', '--rootless', '--image', `${ours}:1`, join(path, 'bundle')]);
  assert.ok((await readFile(join(path, 'bundle/rootfs/file'))).equals(file));
  await runTool(umoci, ['tag', '--image', `${ours}:1`, 'tagged']);
  await copier.copy(`oci:${ours}:tagged`, `oci:${join(path, 'read')}`);
  assert.deepEqual(await listedIn(join(path, 'read')), listing(['tagged', image]));
});

test('buildah pulls an image of ours, and we read the layout that it pushes', async (t) => {
  const buildah = requireTool(t, 'buildah');
  if (buildah === undefined) return;
  const { path, copier } = await openStage(t, image);
  const store = ['--root', join(path, 'root'), '--runroot', join(path, 'run'), '--storage-driver', 'vfs'];
  const policy = join(path, 'policy.json');
  await writeFile(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
  const pull = [...store, 'pull', '--quiet', '--signature-policy', policy, 'oci:ours:1'];
  // It makes a name of the path, which must be in lower case.
  const { stdout } = await runTool(buildah, pull, { env: { HOME: path }, cwd: path });
  const theirs = join(path, 'theirs');
  const push = [...store, 'push', '--quiet', '--signature-policy', policy, stdout.trim(), `oci:${theirs}:pushed`];
  await runTool(buildah, push, { env: { HOME: path } });
  // It compresses layers anew: the image is another one, of the same content.
  const { blobs } = await copier.copy(`oci:${theirs}:pushed`, `oci:${join(path, 'read')}`);
  assert.equal(blobs.total, 3);
  const [pushed = ''] = await listedIn(theirs);
  assert.match(pushed, /^pushed@sha256:/);
  assert.deepEqual(await listedIn(join(path, 'read')), [pushed]);
});
