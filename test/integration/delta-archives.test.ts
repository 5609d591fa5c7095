import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { copyImage, type CopyOptions, type CopyResult } from '../../src/index.ts';
import { loadFixture } from '../support/integration-images.ts';
import { startContainerd, startDocker } from '../support/real-daemons.ts';
import { requireTool, runTool } from '../support/real-tools.ts';
import { startRegistry } from '../support/registry.ts';
import { temporaryDirectory, writeImage } from '../transports/dir/image-directory.ts';

const [v1, v2] = [await loadFixture('gzip', 'v1'), await loadFixture('gzip', 'v2')];
const [shared] = [...v2.blobs.keys()].filter((digest) => v1.blobs.has(digest));
const imageId = [...v2.blobs.keys()][0]!;

test('skopeo, crane, regctl and oras name the layer that a delta leaves out, or that something is missing', async (t) => {
  const [skopeo, crane] = [requireTool(t, 'skopeo'), requireTool(t, 'crane')];
  const [regctl, oras] = [requireTool(t, 'regctl'), requireTool(t, 'oras')];
  if (skopeo === undefined || crane === undefined || regctl === undefined || oras === undefined) return;
  const { folder, oci, docker } = await deltas(t);
  const hex = String(shared).slice('sha256:'.length);
  await using registry = await startRegistry();
  const toRegistry = ['--insecure-policy', '--dest-tls-verify=false', `oci-archive:${oci}`];
  const bySkopeo = runTool(skopeo, ['copy', ...toRegistry, `docker://${registry.host}/app:v2`]);
  await assert.rejects(bySkopeo, new RegExp(`${hex}: no such file`));
  const byCrane = runTool(crane, ['push', '--insecure', docker, `${registry.host}/app:v2`]);
  await assert.rejects(byCrane, new RegExp(`${hex} not found in tar`));
  const host = ['--host', `reg=${registry.host},tls=disabled`];
  const byRegctl = runTool(regctl, [...host, 'image', 'import', `${registry.host}/app:v2`, oci]);
  await assert.rejects(byRegctl, /unable to read all files from tar: not found/);
  const byOras = runTool(oras, ['cp', '--from-oci-layout', `${oci}:v2`, '--to-oci-layout', `${folder}/layout:v2`]);
  await assert.rejects(byOras, new RegExp(`${hex}.*not found`));
  assert.equal(registry.manifest('app', 'v2'), undefined);

  registry.seed('app', 'v1', v1);
  await runTool(skopeo, ['copy', ...toRegistry, `docker://${registry.host}/app:v2`]);
  assert.equal(registry.manifest('app', 'v2')?.digest, v2.manifest.digest);
});

test('docker loads a delta where it has the image that it builds on', async (t) => {
  await using docker = await startDocker(t);
  if (docker === undefined) return;
  const { base, docker: delta } = await deltas(t);
  await assert.rejects(docker.run('load', '-i', delta), /no such file or directory/);
  await docker.run('load', '-i', base);
  assert.match(await docker.run('load', '-i', delta), /Loaded image: registry.test\/app:v2/);
  assert.equal((await docker.run('images', '--no-trunc', '--quiet', 'registry.test/app:v2')).trim(), imageId);
});

test('containerd imports a delta where it has the image that it builds on', async (t) => {
  await using containerd = await startContainerd(t);
  if (containerd === undefined) return;
  const { base, docker: delta } = await deltas(t);
  await containerd.run('import', '--no-unpack', base);
  await containerd.run('import', '--no-unpack', delta);
  assert.match(await containerd.run('list'), new RegExp(`registry.test/app:v2\\s+\\S+\\s+${v2.manifest.digest}`));
  assert.match(await containerd.run('check'), /registry.test\/app:v2\s+\S+\s+\S+\s+complete/);
});

interface Deltas {
  readonly folder: string;
  readonly oci: string;
  readonly docker: string;
  /** The image that they build on, for docker. */
  readonly base: string;
}

async function deltas(t: TestContext): Promise<Deltas> {
  const folder = await temporaryDirectory(t);
  for (const [name, image] of [
    ['v1', v1],
    ['v2', v2],
  ] as const) {
    await mkdir(join(folder, name));
    await writeImage(join(folder, name), image);
  }
  const [oci, docker, base] = ['oci.tar', 'docker.tar', 'base.tar'].map((name) => join(folder, name));
  const since = [`dir:${folder}/v1`];
  await copy(`dir:${folder}/v1`, `docker-archive:${base}:registry.test/app:v1`);
  await copy(`dir:${folder}/v2`, `oci-archive:${oci}:v2`, { since });
  await copy(`dir:${folder}/v2`, `docker-archive:${docker}:registry.test/app:v2`, { since });
  return { folder, oci: oci!, docker: docker!, base: base! };
}

async function copy(source: string, destination: string, options: CopyOptions = {}): Promise<CopyResult> {
  return await copyImage(source, destination, { ...options, env: {}, cache: false });
}
