import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createCliHome, type CliHome } from '../support/imgcopy-command.ts';
import { buildArtifact, buildImage, buildIndex } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { writeImage } from '../transports/dir/image-directory.ts';

const platforms = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }));
const [amd64, arm64] = platforms.map((platform) =>
  buildImage({ platform, layers: { count: 2, size: 1_000, seed: platform.architecture } }),
);
assert.ok(amd64 !== undefined && arm64 !== undefined);
const index = buildIndex({ images: [amd64, arm64].map((image, at) => ({ image, platform: platforms[at] })) });

let home: CliHome;
let registry: TestRegistry;
let name: string;

before(async () => {
  home = await createCliHome();
  registry = await startRegistry({ sparseIndex: true });
  registry.seed('app', '1', amd64);
  registry.seed('app', 'index', index);
  name = `docker://${registry.host}/app`;
});

after(async () => {
  await registry.close();
  await home[Symbol.asyncDispose]();
});

describe('questions about images', { concurrency: 4 }, () => {
  for (const verb of ['tags', 'ls', 'list-tags']) {
    test(`${verb} prints the tags, one a line`, async () => {
      const { status, stdout, stderr } = await home.run([verb, name]);
      assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '1\nindex\n', stderr: '' });
    });
  }

  test('tags follows the registry from page to page', async () => {
    const tags = Array.from({ length: 2500 }, (_, number) => `v${String(number).padStart(4, '0')}`);
    for (const tag of tags) registry.seed('many', tag, amd64);
    const { stdout } = await home.run(['tags', `${registry.host}/many`]);
    assert.deepEqual(stdout.trimEnd().split('\n'), tags);
    assert.equal(registry.count({ path: /^\/v2\/many\/tags/ }), 3);
  });

  test('tags wants a repository', async () => {
    for (const wrong of [`${name}:1`, `dir:${home.path}`]) {
      const { status, stderr } = await home.run(['tags', wrong]);
      assert.equal(status, 2);
      assert.match(stderr, /hint: /);
    }
  });

  test('tags of a repository that does not exist are not there', async () => {
    const { status, stderr } = await home.run(['tags', `${registry.host}/none`]);
    assert.equal(status, 3);
    assert.match(
      stderr,
      /^imgcopy: listing the tags of docker:.*\n {2}GET .*\/v2\/none\/tags\/list: 404 .*\n {2}hint: /,
    );
  });

  test('digest asks by HEAD', async () => {
    registry.seed('head', '1', amd64);
    const { stdout } = await home.run(['digest', `${registry.host}/head:1`]);
    assert.equal(stdout, `${amd64.manifest.digest}\n`);
    assert.deepEqual(
      registry.select({ path: /^\/v2\/head\// }).map(({ method }) => method),
      ['HEAD'],
    );
  });

  test('digest reads the manifest where a HEAD does not tell', async () => {
    await using mute = await startRegistry({ headDigestHeader: false });
    mute.seed('app', '1', amd64);
    assert.equal((await home.run(['digest', `${mute.host}/app:1`])).stdout, `${amd64.manifest.digest}\n`);
  });

  test('digest and inspect read a directory as well', async () => {
    const path = join(home.path, 'image');
    await writeImage(path, amd64);
    assert.equal((await home.run(['digest', `dir:${path}`])).stdout, `${amd64.manifest.digest}\n`);
    assert.match((await home.run(['inspect', `dir:${path}`])).stdout, /^dir:.*\n└─ linux\/amd64 {2}sha256:/);
  });

  test('digest of one platform is that of its instance', async () => {
    const { stdout } = await home.run(['digest', '-p', 'linux/arm64', `${name}:index`]);
    assert.equal(stdout, `${arm64.manifest.digest}\n`);
    assert.equal((await home.run(['digest', '-p', 'linux/s390x', `${name}:index`])).status, 3);
  });

  test('digest of an image that is not there fails, whether asked by tag or by digest', async () => {
    for (const reference of [`${name}:none`, `${name}@sha256:${'0'.repeat(64)}`]) {
      assert.equal((await home.run(['digest', reference])).status, 3);
    }
  });

  test('inspect draws an index, its platforms and their layers', async () => {
    const { stdout } = await home.run(['inspect', `${name}:index`]);
    const lines = stdout.trimEnd().split('\n');
    assert.equal(lines[0], `${name}:index`);
    assert.match(
      lines[1] ?? '',
      new RegExp(`^└─ ${index.manifest.digest} {2}[\\d.]+ kB in 2 entries {2}application/.*index`),
    );
    assert.match(
      lines[2] ?? '',
      /^ {3}├─ linux\/amd64 {2}sha256:.* {2}2\.\d kB in 2 layers {2}application\/.*manifest/,
    );
    assert.match(lines[3] ?? '', /^ {3}│ {2}├─ config {2}sha256:.* B {2}application\/.*config/);
    assert.match(lines[5] ?? '', /^ {3}│ {2}└─ layer {3}sha256:.* 1\.0 kB {2}application\/.*layer/);
    assert.match(lines[6] ?? '', /^ {3}└─ linux\/arm64/);
    assert.equal(lines.length, 10);
  });

  test('inspect --json has the same as an object', async () => {
    const { stdout } = await home.run(['inspect', '--json', `${name}:index`]);
    const byVariable = await home.run(['inspect', `${name}:index`], { env: { IMGCOPY_JSON: '1' } });
    assert.equal(byVariable.stdout, stdout);
    const { digest, manifests } = JSON.parse(stdout) as {
      digest: string;
      manifests: readonly { digest: string; platform: unknown; layers: readonly { size: number }[] }[];
    };
    assert.equal(digest, index.manifest.digest);
    assert.deepEqual(
      manifests.map((one) => one.platform),
      platforms,
    );
    assert.deepEqual(
      manifests.map(({ layers }) => layers.map(({ size }) => size)),
      [
        [1000, 1000],
        [1000, 1000],
      ],
    );
  });

  test('inspect --raw prints the bytes of the manifest', async () => {
    assert.equal((await home.run(['inspect', '--raw', `${name}:index`])).stdout, index.manifest.bytes.toString());
  });

  test('inspect says which instance is missing, and what an artifact is', async () => {
    const artifact = buildArtifact({ artifactType: 'application/vnd.test.sbom\u001B[2J', files: { 'a.json': '{}' } });
    registry.seed('odd', '1', buildIndex({ images: [{ image: artifact }, { image: arm64, platform: platforms[1] }] }));
    registry.remove('odd', arm64.manifest.digest);
    const { status, stdout } = await home.run(['inspect', `${registry.host}/odd:1`]);
    assert.equal(status, 0);
    assert.match(stdout, /manifest .* of application\/vnd\.test\.sbom \[2J$/m);
    assert.match(stdout, /linux\/arm64 .* missing {2}/m);
  });

  test('credentials reach the registry and nobody else', async () => {
    await using locked = await startRegistry({ auth: { kind: 'bearer', username: 'bob', password: 's3cret' } });
    locked.seed('app', '1', amd64);
    const repository = `${locked.host}/app`;
    const byOption = await home.run(['--debug', 'tags', '--src-creds=bob:s3cret', repository]);
    const byInput = await home.run(['tags', '--username=bob', '--password-stdin', repository], { input: 's3cret\n' });
    const byVariable = await home.run(['tags', repository], { env: { IMGCOPY_CREDS: 'bob:s3cret' } });
    for (const { stdout } of [byOption, byInput, byVariable]) assert.equal(stdout, '1\n');
    assert.match(byOption.stderr, /GET http:\/\/.*\/v2\/app\/tags\/list: 200$/m);
    assert.doesNotMatch(byOption.stderr, /s3cret|Ym9i|token-/);
    assert.equal((await home.run(['tags', repository])).status, 4);
    assert.equal((await home.run(['tags', '--password=x', repository])).status, 2);
  });
});
