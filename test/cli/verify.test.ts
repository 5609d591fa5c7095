import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { images, index, referrers, SBOM, seedSigned } from '../library/signed-image.ts';
import { createCliHome, type CliHome } from '../support/imgcopy-command.ts';
import type { TestImage } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

const [amd64, arm64] = images as [TestImage, TestImage];
const { digest } = index.manifest;

describe('verify on the command line', { concurrency: 2 }, () => {
  let home: CliHome;
  let registry: TestRegistry;
  /** Lacks a blob and an instance. */
  let broken: string;
  const lacking = [...amd64.blobs.keys()].find((blob) => blob !== layerOf(amd64)) ?? '';

  before(async () => {
    home = await createCliHome();
    registry = await startRegistry();
    registry.seed('app', 'v1', index);
    registry.seed('broken', 'v1', index);
    registry.remove('broken', layerOf(amd64));
    registry.remove('broken', arm64.manifest.digest);
    broken = `${registry.host}/broken:v1`;
  });

  after(async () => {
    await registry.close();
    await home[Symbol.asyncDispose]();
  });

  test('a whole image: one line, pinned by digest, and status 0', async () => {
    const { status, stdout, stderr } = await home.run(['verify', `${registry.host}/app:v1`]);
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(
      stdout,
      /^docker:\/\/\S+\/app@sha256:[0-9a-f]{64}: 3 manifests and 4 blobs, .* are there with their sizes\n$/,
    );
    const deep = await home.run(['verify', '--deep', '-j', '2', '--limit-rate', '10M', `${registry.host}/app:v1`]);
    assert.deepEqual([deep.status, deep.stderr], [0, '']);
    assert.match(deep.stdout, /all match their digests\n$/);
  });

  test('what is missing: a line each on standard output, and status 5', async () => {
    const { status, stdout, stderr } = await home.run(['verify', broken]);
    assert.equal(status, 5);
    assert.deepEqual(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.replace(/: .*/, ''))
        .toSorted(),
      [
        `missing layer ${layerOf(amd64)} of ${amd64.manifest.digest} (linux/amd64)`,
        `missing manifest ${arm64.manifest.digest} of ${digest} (linux/arm64)`,
      ],
    );
    assert.match(stderr, /broken:v1 is not whole: 2 faults\n {2}hint: .*--force.* \[ERR_NOT_WHOLE\]\n$/);
  });

  test('an archive that leaves out what another image has: the hint says where to verify it', async () => {
    const image = `${registry.host}/app:v1`;
    const archive = `oci-archive:${home.path}/delta.tar`;
    await home.run(['--since', image, image, archive]);
    const { status, stderr } = await home.run(['verify', archive]);
    assert.equal(status, 5);
    assert.match(stderr, /delta\.tar is not whole: 2 faults\n {2}hint: write the archive again; .*--since.*import it/);
  });

  test('as JSON', async () => {
    const { status, stdout } = await home.run(['verify', '--json', broken]);
    assert.equal(status, 5);
    const { faults, ...found } = JSON.parse(stdout) as { faults: readonly { digest: string; platform: unknown }[] };
    assert.deepEqual(
      faults.map((fault) => fault.digest).toSorted(),
      [layerOf(amd64), arm64.manifest.digest].toSorted(),
    );
    assert.deepEqual(found, {
      reference: `docker://${broken}`,
      digest,
      mediaType: index.manifest.mediaType,
      manifests: 2,
      blobs: 2,
      bytes: amd64.blobs.get(lacking as keyof object)?.length,
      foreign: 0,
      isHashed: false,
    });
  });

  test('an image that is not there: status 3, and nothing on standard output', async () => {
    const { status, stdout } = await home.run(['verify', `${registry.host}/app:none`]);
    assert.deepEqual([status, stdout], [3, '']);
    assert.equal((await home.run(['verify', `oci:${home.path}/none`])).status, 3);
  });

  test('an image of another digest: status 5', async () => {
    const { status, stdout, stderr } = await home.run(['verify', `${registry.host}/app:v1`, '--same-as', broken]);
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, /the same as docker:\/\/\S+\/broken:v1\n$/);
    registry.seed('other', 'v1', amd64);
    const other = `${registry.host}/other:v1`;
    const differs = await home.run(['verify', `${registry.host}/app:v1`, '--same-as', other]);
    assert.equal(differs.status, 5);
    assert.match(differs.stderr, /app:v1 is not the same image as docker:\/\/\S+other:v1 {4}\[ERR_NOT_THE_SAME\]/);
    assert.equal((await home.run(['verify', other, '--same-as', `${registry.host}/none:v1`])).status, 3);
  });

  test('what refers to it counts with -r, and some of it with --referrers-type', async () => {
    await using signed = await startRegistry();
    seedSigned(signed);
    const name = `${signed.host}/app:v1`;
    assert.match((await home.run(['verify', '-r', name])).stdout, /; 8 referrers\n$/);
    signed.remove('app', referrers['a signature on the index'].manifest.digest);
    assert.equal((await home.run(['verify', '--referrers-type', SBOM, name])).status, 0);
    signed.remove('app', layerOf(referrers['an SBOM of an instance']));
    const { status, stdout } = await home.run(['verify', '--referrers-type', SBOM, name]);
    assert.equal(status, 5);
    assert.match(stdout, /^missing layer /);
  });

  test('the credentials of one registry are not sent to another', async () => {
    const login = { username: 'anna', password: 'secret' };
    await using own = await startRegistry({ auth: { kind: 'basic', ...login } });
    own.seed('app', 'v1', index);
    const args = ['verify', '--creds', 'anna:secret', `${own.host}/app:v1`, '--same-as'];
    registry.reset();
    assert.equal((await home.run([...args, `${registry.host}/app:v1`])).status, 0);
    assert.ok(registry.requests.length > 0);
    assert.ok(registry.requests.every(({ authorization }) => !authorization));
    assert.equal((await home.run([...args, `${own.host}/app:v1`])).status, 0);
  });

  test('a registry that refuses is not a fault of the image', async () => {
    await using closed = await startRegistry({ auth: { kind: 'basic', username: 'anna', password: 'secret' } });
    closed.seed('app', 'v1', index);
    const { status, stdout } = await home.run(['verify', `${closed.host}/app:v1`]);
    assert.deepEqual([status, stdout], [4, '']);
  });
});

function layerOf({ manifest }: TestImage): string {
  const { layers } = JSON.parse(String(manifest.bytes)) as { layers: readonly { digest: string }[] };
  return layers[0]?.digest ?? assert.fail('no layer');
}
