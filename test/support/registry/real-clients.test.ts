import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { digestOf } from '../../../src/digest/digest.ts';
import { buildArtifact, buildImage, buildIndex, randomBytes, tarGzLayer, type TestImage } from '../images.ts';
import { requireTool, runTool } from '../real-tools.ts';
import { startRegistry, type RegistryOptions, type TestRegistry } from '../registry.ts';

const bigLayer = tarGzLayer({ 'data/noise': randomBytes('noise', 3_000_000) });
const index = buildIndex({
  images: ['amd64', 'arm64'].map((architecture) => ({
    image: buildImage({ layers: [tarGzLayer({ 'etc/arch': architecture }), bigLayer] }),
    platform: { os: 'linux', architecture },
  })),
});
const dockerImage = buildImage({ layers: [tarGzLayer({ 'etc/name': 'docker' }), bigLayer], format: 'docker' });

/** Asserts that a repository holds an image, every manifest and blob of it, byte for byte. */
function assertHolds(registry: TestRegistry, repository: string, tag: string, image: TestImage): void {
  assert.deepEqual(registry.manifest(repository, tag), image.manifest);
  for (const instance of image.instances) {
    assert.deepEqual(registry.manifest(repository, instance.digest), instance);
  }
  for (const [digest, bytes] of image.blobs) assert.deepEqual(registry.blob(repository, digest), bytes);
}

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'imgcopy-clients-'));
  t.after(async () => await rm(folder, { recursive: true, force: true }));
  return folder;
}

function withoutTls(reference: string): readonly string[] {
  return ['--host', `reg=${reference.split('/')[0]},tls=disabled`];
}

/** How each client copies an image with all its instances from one registry to another. */
const copiers: Readonly<Record<string, (from: string, to: string) => readonly string[]>> = {
  skopeo: (from, to) => [
    'copy',
    '--all',
    '--insecure-policy',
    '--src-tls-verify=false',
    '--dest-tls-verify=false',
    `docker://${from}`,
    `docker://${to}`,
  ],
  crane: (from, to) => ['copy', '--insecure', from, to],
  regctl: (from, to) => [...[from, to].flatMap(withoutTls), 'image', 'copy', from, to],
  oras: (from, to) => ['copy', '--from-plain-http', '--to-plain-http', from, to],
};

const variants: Readonly<Record<string, RegistryOptions>> = {
  'as it comes': {},
  'that redirects blobs': { redirectBlobs: true },
  'with absolute locations': { locations: 'absolute' },
  'with locations that carry a state': { locations: 'with-query' },
};

for (const [client, args] of Object.entries(copiers)) {
  for (const [variant, options] of Object.entries(variants)) {
    test(`${client} pulls from and pushes to a registry ${variant}`, async (t) => {
      const path = requireTool(t, client);
      if (path === undefined) return;
      await using source = await startRegistry(options);
      await using destination = await startRegistry(options);
      for (const image of [index, dockerImage]) {
        source.seed('team/app', 'v1', image);
        await runTool(path, args(`${source.host}/team/app:v1`, `${destination.host}/copy:v1`));
        assertHolds(destination, 'copy', 'v1', image);
        assert.deepEqual(destination.sessions, []);
      }
    });
  }
}

test('skopeo authenticates with a token', async (t) => {
  const path = requireTool(t, 'skopeo');
  if (path === undefined) return;
  await using registry = await startRegistry({ auth: { kind: 'bearer', username: 'ann', password: 'secret' } });
  registry.seed('app', 'v1', dockerImage);
  const copy = copiers['skopeo']?.(`${registry.host}/app:v1`, `${registry.host}/copy:v1`) ?? [];
  await runTool(path, [...copy, '--src-creds', 'ann:secret', '--dest-creds', 'ann:secret']);
  assertHolds(registry, 'copy', 'v1', dockerImage);
  assert.ok(registry.tokens.length > 0);
  await assert.rejects(runTool(path, [...copy, '--src-creds', 'ann:wrong']), /invalid username\/password/);
});

test('crane authenticates with a password, and mounts within the registry', async (t) => {
  const path = requireTool(t, 'crane');
  if (path === undefined) return;
  await using registry = await startRegistry({ auth: { kind: 'basic', username: 'ann', password: 'secret' } });
  registry.seed('app', 'v1', dockerImage);
  const folder = await temporaryFolder(t);
  const auths = { [registry.host]: { auth: Buffer.from('ann:secret').toString('base64') } };
  await writeFile(join(folder, 'config.json'), JSON.stringify({ auths }));
  const copy = copiers['crane']?.(`${registry.host}/app:v1`, `${registry.host}/copy:v1`) ?? [];
  await runTool(path, copy, { env: { DOCKER_CONFIG: folder } });
  assertHolds(registry, 'copy', 'v1', dockerImage);
  assert.equal(registry.count({ method: 'GET', path: /\/blobs\// }), 0);
});

test('oras pushes an artifact and finds its referrers', async (t) => {
  const path = requireTool(t, 'oras');
  if (path === undefined) return;
  await using registry = await startRegistry();
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'note.txt'), 'hello');
  registry.seed('app', 'v1', dockerImage);
  const signature = buildArtifact({ artifactType: 'a/signature', files: { s: 'x' }, subject: dockerImage.manifest });
  registry.seed('app', undefined, signature);
  const reference = `${registry.host}/app`;
  await runTool(path, ['push', '--plain-http', `${reference}:note`, 'note.txt'], { cwd: folder });
  assert.deepEqual(registry.blob('app', digestOf(Buffer.from('hello'))), Buffer.from('hello'));
  const found = await runTool(path, ['discover', '--plain-http', `${reference}:v1`]);
  assert.match(found.stdout, new RegExp(signature.manifest.digest));
});
