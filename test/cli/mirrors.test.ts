import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createCliHome, type CliHome, type ImgcopyResult } from '../support/imgcopy-command.ts';
import { buildImage } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { registryTable } from '../support/registries-conf.ts';

const image = buildImage({ layers: { count: 2, size: 1_000 } });

let home: CliHome;
let registry: TestRegistry;
let conf: string;

/** Runs the command with the registries.conf of the home. */
function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<ImgcopyResult> {
  return home.run(args, { env });
}

async function manifestIn(folder: string): Promise<Buffer> {
  return readFile(join(home.path, folder, 'manifest.json'));
}

before(async () => {
  home = await createCliHome();
  registry = await startRegistry();
  registry.seed('containers/busybox', 'latest', image);
  const here = `${registry.host}/containers`;
  const gone = ['127.0.0.1:1/one', '127.0.0.1:1/two'];
  conf = join(home.path, '.config/containers/registries.conf');
  await mkdir(join(conf, '..'), { recursive: true });
  // As in the fixtures of skopeo's own integration tests, with this registry in the place of gcr.io.
  await writeFile(
    conf,
    registryTable('mirror.invalid', 'mirror.invalid', [...gone, here]) +
      registryTable(here, registry.host) +
      registryTable('invalid.invalid', 'invalid.invalid', gone) +
      registryTable('gcr.invalid/foo/bar', 'gcr.invalid', ['127.0.0.1:1', here]) +
      '[[registry]]\nlocation = "registry-unblocked.invalid"\n[[registry]]\nlocation = "registry-blocked.invalid"\nblocked = true\n',
  );
});

after(async () => {
  await registry.close();
  await home[Symbol.asyncDispose]();
});

// https://github.com/containers/skopeo/blob/main/integration/blocked_test.go, and copy_test.go from TestSuccessCopySrcWithMirror on.
describe("what skopeo's own tests of mirrors and blocked registries expect", { concurrency: 4 }, () => {
  const blocked = async (args: readonly string[]): Promise<void> => {
    const { status, stdout, stderr } = await run(args);
    assert.deepEqual([status, stdout], [4, '']);
    assert.match(stderr, /registry-blocked\.invalid\/image is blocked: \S+\/registries\.conf:\d+ has blocked = true/);
    assert.match(stderr, /\[ERR_REGISTRY_BLOCKED\]\n$/);
  };

  test('a blocked source', () =>
    blocked(['registry-blocked.invalid/image:test', 'registry-unblocked.invalid/image:test']));

  test('a blocked destination', () =>
    blocked(['registry-unblocked.invalid/image:test', 'registry-blocked.invalid/image:test']));

  for (const verb of ['inspect', 'digest'])
    test(`${verb} of what is blocked`, () => blocked([verb, 'registry-blocked.invalid/image:test']));

  test('tags of what is blocked', () => blocked(['tags', 'registry-blocked.invalid/image']));

  test('copies from the mirror that can be reached', async () => {
    const { status, stderr } = await run(['-q', 'mirror.invalid/busybox', `dir:${home.path}/mirrored`]);
    assert.deepEqual([status, stderr], [0, '']);
    assert.deepEqual(await manifestIn('mirrored'), image.manifest.bytes);
  });

  test('fails where no mirror can be reached, and names each', async () => {
    const { status, stderr } = await run(['-q', 'invalid.invalid/busybox', `dir:${home.path}/none`]);
    assert.equal(status, 1);
    assert.match(stderr, /3 addresses were asked; .*127\.0\.0\.1:1\/.*; .*127\.0\.0\.1:1\//);
    assert.match(stderr, /https:\/\/invalid\.invalid\/v2\/busybox\/manifests\/latest: /);
  });

  test('copies what has the prefix from a mirror', async () => {
    const { status } = await run(['-q', 'gcr.invalid/foo/bar/busybox', `dir:${home.path}/prefixed`]);
    assert.equal(status, 0);
    assert.deepEqual(await manifestIn('prefixed'), image.manifest.bytes);
  });

  test('asks no mirror for what has another prefix', async () => {
    const { status, stderr } = await run(['-q', 'gcr.invalid/wrong/prefix/busybox', `dir:${home.path}/wrong`]);
    assert.equal(status, 1);
    assert.doesNotMatch(stderr, /addresses were asked|127\.0\.0\.1/);
  });
});

describe('registries.conf and the command', { concurrency: 4 }, () => {
  test('--verbose says which address gave what, and why another one did not', async () => {
    const { stderr } = await run(['-v', '--progress=plain', 'mirror.invalid/busybox', `dir:${home.path}/verbose`]);
    const address = `${registry.host}/containers/busybox`;
    assert.match(stderr, /source: 127\.0\.0\.1:1\/one\/busybox: .*; asking 127\.0\.0\.1:1\/two\/busybox\n/);
    assert.match(stderr, new RegExp(`manifest \\S+ \\S+ from ${address}\n`));
    assert.match(stderr, new RegExp(`layer \\S+ \\S+ \\S+: copied from ${address}\n`));
  });

  test('without --verbose, failures of mirrors are not told', async () => {
    const { stderr } = await run(['--progress=plain', 'mirror.invalid/busybox', `dir:${home.path}/plain`]);
    assert.doesNotMatch(stderr, /127\.0\.0\.1:1\//);
  });

  test('--json counts what came from where', async () => {
    const { stdout } = await run(['-q', '--json', 'mirror.invalid/busybox', `dir:${home.path}/json`]);
    const { source, servedFrom } = JSON.parse(stdout) as Record<string, unknown>;
    assert.equal(source, 'docker://mirror.invalid/busybox:latest');
    const bytes = [...image.blobs.values()].reduce((sum, blob) => sum + blob.length, 0);
    const address = `${registry.host}/containers/busybox`;
    assert.deepEqual(servedFrom, [{ address, manifests: 1, blobs: image.blobs.size, bytes }]);
  });

  for (const [how, args, env] of [
    ['--no-registries-conf', ['--no-registries-conf'], {}],
    ['IMGCOPY_NO_REGISTRIES_CONF=1', [], { IMGCOPY_NO_REGISTRIES_CONF: '1' }],
  ] as const) {
    test(`${how} reads no configuration`, async () => {
      const { status, stderr } = await run([...args, 'digest', 'mirror.invalid/busybox'], env);
      assert.equal(status, 1);
      assert.match(stderr, /https:\/\/mirror\.invalid\/.*\[ERR_NAME_NOT_RESOLVED\]/s);
    });
  }

  test('a broken file ends the run with its line and the way around it', async () => {
    const file = join(home.path, 'broken.conf');
    await writeFile(file, '\n[registries.search]\nregistries = ["docker.io"]\n');
    const { status, stderr } = await run(['digest', 'mirror.invalid/busybox'], { CONTAINERS_REGISTRIES_CONF: file });
    assert.equal(status, 2);
    assert.match(
      stderr,
      new RegExp(`${file}:2: this is version 1 .*hint: .*--no-registries-conf.*ERR_REGISTRIES_CONF`, 's'),
    );
  });

  test('a file that the user may not read is a warning', async (t) => {
    if (process.getuid?.() !== 0) {
      t.skip('needs root to become another user');
      return;
    }
    await using other = await createCliHome();
    const uid = 4_321;
    const secret = join(other.path, '.config/containers/registries.conf');
    await mkdir(join(secret, '..'), { recursive: true });
    await writeFile(secret, 'not TOML');
    await chmod(secret, 0o600);
    await chmod(other.path, 0o777);
    const { status, stderr, stdout } = await other.run(['digest', `${registry.host}/containers/busybox`], { uid });
    assert.deepEqual([status, stdout], [0, `${image.manifest.digest}\n`]);
    assert.equal(stderr, `warning: ${secret} is ignored: it cannot be read (EACCES)\n`);
  });
});
