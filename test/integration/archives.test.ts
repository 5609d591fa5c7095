import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { copyImage, type CopyResult } from '../../src/index.ts';
import { loadFixture, sampleImages } from '../support/integration-images.ts';
import type { TestImage } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { startContainerd, startDocker } from '../support/real-daemons.ts';
import { startDistribution3 } from '../support/real-registries.ts';
import { requireTool, runTool } from '../support/real-tools.ts';
import { assertHoldsOnly, temporaryDirectory, writeImage } from '../transports/dir/image-directory.ts';
import { withPlainLayers } from '../transports/archive/archives.ts';
import { copyAfresh, copyBySkopeo, referenceAt } from './real-ends.ts';

const image = await loadFixture('gzip', 'v1');
const index = sampleImages['an index of three platforms'] as TestImage;
const plain = withPlainLayers(image);
const imageId = [...image.blobs.keys()][0];
const NAME = 'registry.test/team/app:v1';

test('skopeo reads our archives, and we read those of skopeo', async (t) => {
  const skopeo = requireTool(t, 'skopeo');
  if (skopeo === undefined) return;
  const { folder, path } = await stage(t, index);
  await copy(`dir:${path}`, `oci-archive:${folder}/ours.tar:v1`);
  await copyBySkopeo(skopeo, `oci-archive:${folder}/ours.tar:v1`, `oci-archive:${folder}/theirs.tar:v1`);
  await copy(`oci-archive:${folder}/theirs.tar:v1`, `dir:${folder}/back`);
  await assertHoldsOnly(join(folder, 'back'), index);

  await writeImage(join(folder, 'one'), image);
  const { digest } = await copy(`dir:${folder}/one`, `docker-archive:${folder}/docker.tar:${NAME}`);
  assert.equal(digest, image.manifest.digest);
  const inspected = await runTool(skopeo, [
    'inspect',
    '--config',
    '--raw',
    `docker-archive:${folder}/docker.tar:${NAME}`,
  ]);
  assert.equal(inspected.stdout, image.blobs.get(imageId!)?.toString());
  const policy = ['--insecure-policy'];
  await runTool(skopeo, ['copy', ...policy, `dir:${folder}/one`, `docker-archive:${folder}/skopeo.tar:${NAME}`]);
  await copy(`docker-archive:${folder}/skopeo.tar:${NAME}`, `dir:${folder}/plain`);
  await assertHoldsOnly(join(folder, 'plain'), plain);
});

for (const form of ['docker-archive', 'oci-archive'] as const) {
  test(`what skopeo writes into a pipe as ${form} becomes the same image in a registry as out of a file`, async (t) => {
    const skopeo = requireTool(t, 'skopeo');
    const registry = await startDistribution3(t);
    if (skopeo === undefined || registry === undefined) return;
    const { folder, path } = await stage(t, image);
    const write = (to: string): Promise<unknown> =>
      runTool(skopeo, ['copy', '--quiet', '--insecure-policy', `dir:${path}`, `${form}:${to}`]);
    const name = form === 'docker-archive' ? ':app:v1' : ':v1';
    await write(`${folder}/file.tar${name}`);
    const ofFile = await copyAfresh(`${form}:${folder}/file.tar`, referenceAt(registry, 'file:v1'), folder);
    await runTool('mkfifo', [`${folder}/pipe`]);
    const writing = write(`${folder}/pipe${name}`);
    const ofPipe = await copyAfresh(`${form}:${folder}/pipe`, referenceAt(registry, 'pipe:v1'), folder);
    await writing;
    assert.equal(ofPipe.digest, ofFile.digest);
    assert.deepEqual([ofPipe.blobs, ofPipe.bytes], [ofFile.blobs, ofFile.bytes]);
    assert.equal(ofPipe.requests.destination, ofFile.requests.destination);
    // It verifies every blob.
    await copyBySkopeo(skopeo, referenceAt(registry, 'pipe:v1'), `dir:${folder}/back`);
  });
}

test('crane reads our docker-archive, and we read what crane pulls', async (t) => {
  const crane = requireTool(t, 'crane');
  if (crane === undefined) return;
  const { folder, path } = await stage(t, image);
  await copy(`dir:${path}`, `docker-archive:${folder}/ours.tar:${NAME}`);
  const { stdout } = await runTool(crane, ['validate', '--tarball', `${folder}/ours.tar`]);
  assert.match(stdout, /PASS/);
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  await runTool(crane, ['pull', '--insecure', `${registry.host}/app:v1`, `${folder}/theirs.tar`]);
  const pulled = await copy(`docker-archive:${folder}/theirs.tar`, `dir:${folder}/back`);
  assert.equal(pulled.imageId, imageId);
  assert.equal(pulled.blobs.copied, image.blobs.size);
  await runTool(crane, ['pull', '--insecure', '--format=oci', `${registry.host}/app:v1`, `${folder}/layout`]);
  await runTool('tar', ['-cf', `${folder}/layout.tar`, '-C', `${folder}/layout`, '.']);
  await copy(`oci-archive:${folder}/layout.tar`, `dir:${folder}/from-layout`);
  await assertHoldsOnly(join(folder, 'from-layout'), image);
  await runTool(crane, ['push', '--insecure', `${folder}/ours.tar`, `${registry.host}/pushed:v1`]);
  const pushed = JSON.parse(String(registry.manifest('pushed', 'v1')?.bytes)) as {
    readonly config: { digest: string };
  };
  assert.equal(pushed.config.digest, imageId);
});

test('umoci reads our archive where it is unpacked, and we read what it writes', async (t) => {
  const umoci = requireTool(t, 'umoci');
  if (umoci === undefined) return;
  const { folder, path } = await stage(t, image);
  await copy(`dir:${path}`, `oci-archive:${folder}/ours.tar:v1`);
  await mkdir(`${folder}/layout`);
  await runTool('tar', ['-xf', `${folder}/ours.tar`, '-C', `${folder}/layout`]);
  await runTool(umoci, ['tag', '--image', `${folder}/layout:v1`, 'v2']);
  await runTool('tar', ['-cf', `${folder}/theirs.tar`, '-C', `${folder}/layout`, '.']);
  await copy(`oci-archive:${folder}/theirs.tar:v2`, `dir:${folder}/back`);
  await assertHoldsOnly(join(folder, 'back'), image);
});

test('regctl imports and exports our archives', async (t) => {
  const regctl = requireTool(t, 'regctl');
  if (regctl === undefined) return;
  const { folder, path } = await stage(t, index);
  await copy(`dir:${path}`, `oci-archive:${folder}/ours.tar:v1`);
  const layout = `ocidir://${folder}/layout:v1`;
  await runTool(regctl, ['image', 'import', layout, `${folder}/ours.tar`]);
  const { stdout } = await runTool(regctl, ['manifest', 'head', layout]);
  assert.equal(stdout.trim(), index.manifest.digest);
  await runTool(regctl, ['image', 'export', layout, `${folder}/theirs.tar`]);
  await copy(`oci-archive:${folder}/theirs.tar`, `dir:${folder}/back`);
  await assertHoldsOnly(join(folder, 'back'), index);
});

test('oras copies out of our archive', async (t) => {
  const oras = requireTool(t, 'oras');
  if (oras === undefined) return;
  const { folder, path } = await stage(t, index);
  await copy(`dir:${path}`, `oci-archive:${folder}/ours.tar:v1`);
  const layouts = ['--from-oci-layout', `${folder}/ours.tar:v1`, '--to-oci-layout', `${folder}/layout:v1`];
  await runTool(oras, ['cp', '--recursive', ...layouts]);
  await copy(`oci:${folder}/layout:v1`, `dir:${folder}/back`);
  await assertHoldsOnly(join(folder, 'back'), index);
});

test('podman loads our archives, and we read those that it saves', async (t) => {
  const podman = requireTool(t, 'podman');
  if (podman === undefined) return;
  const { folder, path } = await stage(t, image);
  const run = async (...args: string[]): Promise<string> => {
    const places = ['--root', join(folder, 'root'), '--runroot', join(folder, 'run'), '--storage-driver', 'vfs'];
    return (await runTool(podman, [...places, ...args])).stdout;
  };
  t.after(() => run('system', 'reset', '--force').catch(() => undefined));
  await copy(`dir:${path}`, `docker-archive:${folder}/docker.tar:${NAME}`);
  assert.match(await run('load', '-q', '-i', `${folder}/docker.tar`), new RegExp(`Loaded image: ${NAME}`));
  assert.match(await run('images', '--no-trunc', '--quiet', NAME), new RegExp(`^${imageId}`));
  await copy(`dir:${path}`, `oci-archive:${folder}/oci.tar:other`);
  assert.match(await run('load', '-q', '-i', `${folder}/oci.tar`), /Loaded image: localhost\/other:latest/);

  await run('save', '-q', '-o', `${folder}/saved.tar`, NAME);
  const { digest } = await copy(`docker-archive:${folder}/saved.tar:${NAME}`, `dir:${folder}/back`);
  assert.equal(digest, plain.manifest.digest);
  await assertHoldsOnly(join(folder, 'back'), plain);
  await run('save', '-q', '--format', 'oci-archive', '-o', `${folder}/saved-oci.tar`, NAME);
  const saved = await copy(`oci-archive:${folder}/saved-oci.tar`, `dir:${folder}/back-oci`);
  assert.equal(saved.imageId, imageId);
});

test('docker loads our docker-archive, and we read what it saves', async (t) => {
  await using docker = await startDocker(t);
  if (docker === undefined) return;
  const { run } = docker;
  const { folder, path } = await stage(t, image);
  await copy(`dir:${path}`, `docker-archive:${folder}/docker.tar:${NAME}`);
  assert.match(await run('load', '-i', `${folder}/docker.tar`), new RegExp(`Loaded image: ${NAME}`));
  assert.equal((await run('images', '--no-trunc', '--quiet', NAME)).trim(), imageId);

  await run('save', '-o', `${folder}/saved.tar`, NAME);
  const { digest } = await copy(`docker-archive:${folder}/saved.tar:${NAME}`, `dir:${folder}/back`);
  assert.equal(digest, plain.manifest.digest);
  await assertHoldsOnly(join(folder, 'back'), plain);
});

test('containerd imports our archives, and we read those that it exports', async (t) => {
  await using containerd = await startContainerd(t);
  if (containerd === undefined) return;
  const { run } = containerd;
  const { folder, path } = await stage(t, image);
  await copy(`dir:${path}`, `docker-archive:${folder}/docker.tar:${NAME}`);
  await run('import', '--no-unpack', `${folder}/docker.tar`);
  await copy(`dir:${path}`, `oci-archive:${folder}/oci.tar:v2`);
  await run('import', '--no-unpack', '--base-name', 'registry.test/other', `${folder}/oci.tar`);
  const listed = await run('list');
  for (const name of [NAME, 'registry.test/other:v2']) {
    assert.match(listed, new RegExp(`${name}\\s+\\S+\\s+${image.manifest.digest}`));
  }
  await run('export', `${folder}/exported.tar`, NAME);
  for (const transport of ['oci-archive', 'docker-archive']) {
    await copy(`${transport}:${folder}/exported.tar`, `dir:${folder}/${transport}`);
    await assertHoldsOnly(join(folder, transport), image);
  }
});

interface Stage {
  readonly folder: string;
  /** A directory `dir:` with the image. */
  readonly path: string;
}

async function stage(t: TestContext, one: TestImage): Promise<Stage> {
  const folder = await temporaryDirectory(t);
  const path = join(folder, 'source');
  await mkdir(path);
  await writeImage(path, one);
  return { folder, path };
}

async function copy(source: string, destination: string): Promise<CopyResult> {
  return await copyImage(source, destination, { env: {}, cache: false });
}
