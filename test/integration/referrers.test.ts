import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { cosignImage, cosignTag, images, index } from '../library/signed-image.ts';
import type { TestImage } from '../support/images.ts';
import { pushTestImage } from '../support/integration-images.ts';
import type { RealRegistry } from '../support/real-registries.ts';
import { realTool, requireTool, runTool } from '../support/real-tools.ts';
import { temporaryDirectory } from '../transports/dir/image-directory.ts';
import { copyAfresh, realPairs, referenceAt } from './real-ends.ts';

const [amd64] = images as [TestImage];
const digest = index.manifest.digest;
/** An image, an attestation and an SBOM of cosign 2. */
const cosign: Readonly<Record<string, TestImage>> = {
  [cosignTag(digest, 'sig')]: cosignImage('signature'),
  [cosignTag(amd64.manifest.digest, 'att')]: cosignImage('attestation'),
  [cosignTag(amd64.manifest.digest, 'sbom')]: cosignImage('SBOM'),
};

interface Tools {
  readonly oras: string;
  readonly regctl: string;
}

function tools(t: TestContext): Tools | undefined {
  const [oras, regctl] = [requireTool(t, 'oras'), requireTool(t, 'regctl')];
  return oras === undefined || regctl === undefined ? undefined : { oras, regctl };
}

/** Pushes the index, attaches to it and to an instance with oras, a signature to the first of these, and pushes what cosign would. */
async function pushSigned({ oras }: Tools, registry: RealRegistry, folder: string): Promise<void> {
  const repository = { url: registry.url, name: 'app' };
  await pushTestImage(repository, 'v1', index);
  const file = join(folder, 'file');
  const attach = async (subject: string, type: string): Promise<string> => {
    await writeFile(file, type);
    const args = ['attach', '--plain-http', '--disable-path-validation', '--artifact-type', type, '-a', 'made=today'];
    const { stdout } = await runTool(oras, [...args, '--format', 'json', `${registry.host}/app@${subject}`, file]);
    return (JSON.parse(stdout) as { digest: string }).digest;
  };
  const sbom = await attach(amd64.manifest.digest, 'application/spdx+json');
  await attach(sbom, 'application/vnd.cncf.notary.signature');
  await attach(digest, 'application/vnd.dev.sigstore.bundle.v0.3+json');
  for (const [tag, image] of Object.entries(cosign)) await pushTestImage(repository, tag, image);
}

/** All that oras finds below an image, by digest, without the name of the place. */
async function discovered(
  { oras }: Tools,
  args: readonly string[],
  place: string,
  subjects: readonly string[] = [digest, amd64.manifest.digest],
): Promise<readonly unknown[]> {
  const found = [];
  for (const subject of subjects) {
    const { stdout } = await runTool(oras, ['discover', ...args, '--format', 'json', `${place}@${subject}`]);
    found.push((JSON.parse(stdout.replaceAll(place, '')) as { referrers: unknown }).referrers);
  }
  return found;
}

/** The tree that regctl draws of an image, its digest tags included, without the name of the place. */
async function drawn({ regctl }: Tools, host: string, place: string): Promise<string> {
  const args = host === '' ? [] : ['--host', `reg=${host},tls=disabled`];
  const { stdout } = await runTool(regctl, ['artifact', 'tree', '--digest-tags', ...args, `${place}@${digest}`]);
  return stdout.replaceAll(place, '').replaceAll(/ +/g, ' ').replaceAll('v1', '');
}

for (const { from, to } of realPairs) {
  test(`oras and regctl find the same after a copy from ${from.name} to ${to.name}`, async (t) => {
    const installed = tools(t);
    const [source, destination] = [await from.start(t), await to.start(t)];
    if (installed === undefined || source === undefined || destination === undefined) return;
    const folder = await temporaryDirectory(t);
    await pushSigned(installed, source, folder);
    const [one, two] = [referenceAt(source, 'app:v1'), referenceAt(destination, 'copy:v1')];
    const copied = await copyAfresh(one, two, folder, { referrers: true });
    assert.deepEqual(copied.referrers, { total: 6, copied: 6, missing: 0 });
    const http = ['--plain-http'];
    const before = await discovered(installed, http, `${source.host}/app`);
    assert.deepEqual(await discovered(installed, http, `${destination.host}/copy`), before);
    const tree = await drawn(installed, source.host, `${source.host}/app`);
    assert.match(tree, /spdx/);
    assert.equal(await drawn(installed, destination.host, `${destination.host}/copy`), tree);
    const again = await copyAfresh(one, two, folder, { referrers: true });
    assert.deepEqual([again.skipped, again.referrers?.copied, again.blobs.total], ['same', 0, 0]);
  });
}

test('all comes along to a layout and back, and oras and regctl find it in each', async (t) => {
  const installed = tools(t);
  const [pair] = realPairs;
  const [source, destination] = [await pair?.from.start(t), await pair?.to.start(t)];
  if (installed === undefined || source === undefined || destination === undefined) return;
  const folder = await temporaryDirectory(t);
  await pushSigned(installed, source, folder);
  const layout = join(folder, 'layout');
  const options = { referrers: true };
  await copyAfresh(referenceAt(source, 'app:v1'), `oci:${layout}:v1`, folder, options);
  const before = await discovered(installed, ['--plain-http'], `${source.host}/app`);
  // In a layout, oras finds no instance of an index by its digest.
  assert.deepEqual(await discovered(installed, ['--oci-layout'], layout, [digest]), before.slice(0, 1));
  const tree = await drawn(installed, source.host, `${source.host}/app`);
  assert.equal(await drawn(installed, '', `ocidir://${layout}`), tree);
  const listing = await readFile(join(layout, 'index.json'));
  const again = await copyAfresh(referenceAt(source, 'app:v1'), `oci:${layout}:v1`, folder, options);
  assert.deepEqual(again.referrers, { total: 6, copied: 0, missing: 0 });
  assert.deepEqual(await readFile(join(layout, 'index.json')), listing);
  // Its image is the only one that is not named for another.
  await copyAfresh(`oci:${layout}`, referenceAt(destination, 'copy:v1'), folder, options);
  assert.deepEqual(await discovered(installed, ['--plain-http'], `${destination.host}/copy`), before);
  for (const tag of Object.keys(cosign)) {
    const { status } = await fetch(`${destination.url}/v2/copy/manifests/${tag}`, {
      headers: { accept: index.manifest.mediaType.replace('index', 'manifest') },
    });
    assert.equal(status, 200, tag);
  }
});

test('what oras and regctl attach in a layout comes along', async (t) => {
  const installed = tools(t);
  const [pair] = realPairs;
  const registry = await pair?.to.start(t);
  if (installed === undefined || registry === undefined) return;
  const { oras, regctl } = installed;
  const folder = await temporaryDirectory(t);
  await pushTestImage({ url: registry.url, name: 'app' }, 'v1', index);
  const layout = join(folder, 'layout');
  await copyAfresh(referenceAt(registry, 'app:v1'), `oci:${layout}:v1`, folder);
  await runTool(oras, ['attach', '--oci-layout', '--artifact-type', 'by/oras', '-a', 'a=b', `${layout}:v1`]);
  const file = join(folder, 'file');
  await writeFile(file, 'regctl');
  await runTool(regctl, [
    'artifact',
    'put',
    '--artifact-type',
    'by/regctl',
    '-f',
    file,
    '--subject',
    `ocidir://${layout}:v1`,
  ]);
  const copied = await copyAfresh(`oci:${layout}:v1`, referenceAt(registry, 'copy:v1'), folder, { referrers: true });
  assert.deepEqual(copied.referrers, { total: 2, copied: 2, missing: 0 });
  const found = JSON.stringify(await discovered(installed, ['--plain-http'], `${registry.host}/copy`));
  for (const type of ['by/oras', 'by/regctl']) assert.match(found, new RegExp(type));
});

test(
  'cosign verifies its signatures and attestations after a copy',
  { skip: realTool('cosign') === undefined },
  async (t) => {
    const cosignTool = realTool('cosign') ?? '';
    const [pair] = realPairs;
    const [source, destination] = [await pair?.from.start(t), await pair?.to.start(t)];
    if (source === undefined || destination === undefined) return;
    const folder = await temporaryDirectory(t);
    const options = { cwd: folder, env: { COSIGN_PASSWORD: '', HOME: folder } };
    const run = (...args: readonly string[]): Promise<unknown> => runTool(cosignTool, args, options);
    await pushTestImage({ url: source.url, name: 'app' }, 'v1', index);
    await run('generate-key-pair');
    const http = ['--allow-insecure-registry', '--allow-http-registry'];
    const signed = `${source.host}/app@${digest}`;
    await run('sign', '--key', 'cosign.key', '--tlog-upload=false', '--yes', '--recursive', ...http, signed);
    await writeFile(join(folder, 'predicate.json'), '{}');
    const attest = [
      '--predicate',
      'predicate.json',
      '--type',
      'custom',
      '--key',
      'cosign.key',
      '--tlog-upload=false',
      '--yes',
    ];
    await run('attest', ...attest, ...http, signed);
    await copyAfresh(referenceAt(source, 'app:v1'), referenceAt(destination, 'copy:v1'), folder, { referrers: true });
    const offline = ['--key', 'cosign.pub', '--insecure-ignore-tlog=true', ...http];
    for (const one of [digest, amd64.manifest.digest])
      await run('verify', ...offline, `${destination.host}/copy@${one}`);
    await run('verify-attestation', '--type', 'custom', ...offline, `${destination.host}/copy@${digest}`);
  },
);
