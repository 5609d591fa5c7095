import assert from 'node:assert/strict';
import { once } from 'node:events';
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createCliHome, type CliHome } from '../support/imgcopy-command.ts';
import { buildImage, buildIndex } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { assertHoldsOnly } from '../transports/dir/image-directory.ts';

const image = buildImage({ layers: { count: 3, size: 50_000 } });
const { digest } = image.manifest;

let home: CliHome;
let registry: TestRegistry;
let source: string;

before(async () => {
  home = await createCliHome();
  registry = await startRegistry();
  registry.seed('app', '1', image);
  registry.seed('app', 'latest', image);
  source = `docker://${registry.host}/app:1`;
});

after(async () => {
  await registry.close();
  await home[Symbol.asyncDispose]();
});

describe('the output of a copy', { concurrency: 4 }, () => {
  test('standard output is the destination pinned by digest, and nothing else', async () => {
    const toRegistry = await home.run([source, `${registry.host}/pinned:2`]);
    assert.deepEqual([toRegistry.status, toRegistry.stdout], [0, `docker://${registry.host}/pinned@${digest}\n`]);
    const path = join(home.path, 'pinned');
    const toDirectory = await home.run(['copy', source, `dir:${path}`]);
    assert.deepEqual([toDirectory.status, toDirectory.stdout], [0, `dir:${path}@${digest}\n`]);
    await assertHoldsOnly(path, image);
  });

  test('a log has a line for each blob that is copied, and each of its lines names the image', async () => {
    const { stderr } = await home.run([source, `dir:${join(home.path, 'log')}`]);
    const lines = stderr.trimEnd().split('\n');
    assert.match(lines[0] ?? '', /^copying docker:.*\/app:1 to dir:.*\/log$/);
    assert.equal(stderr.match(/^dir:.*\/log: (?:layer|config) [0-9a-f]{12} \d.*: copied$/gm)?.length, 4);
    assert.match(lines.at(-1) ?? '', /^dir:.*\/log: 4 blobs: 4 copied; downloaded 15\d kB of 15\d kB in \d+\.\d s$/);
    assert.equal(lines.length, 6);
  });

  test('a log counts the blobs that were already there, and lists none of them', async () => {
    registry.seed('there', 'old', image);
    const directory = `dir:${join(home.path, 'there')}`;
    await home.run([source, directory]);
    const { stderr } = await home.run(['--no-cache', directory, `${registry.host}/there:new`]);
    assert.match(stderr, /\/there:new: 4 blobs: 4 already there; downloaded 0 B of 15\d kB/);
    assert.equal(stderr.trimEnd().split('\n').length, 2);
  });

  test('--progress json ends with what failed', async () => {
    const { status, stderr } = await home.run([
      '--progress=json',
      `${registry.host}/app:none`,
      `dir:${join(home.path, 'none')}`,
    ]);
    const events = stderr.split('\n').filter((line) => line.startsWith('{'));
    const { message, hint, ...failed } = JSON.parse(events.at(-1) ?? '') as Record<string, string>;
    assert.deepEqual([status, typeof message, typeof hint], [3, 'string', 'string']);
    assert.deepEqual(failed, {
      type: 'failed',
      code: 'ERR_NOT_FOUND',
      kind: 'not-found',
      side: 'source',
      request: `GET http://${registry.host}/v2/app/manifests/none`,
    });
  });

  test('GitHub Actions gets a group that can be folded, and an annotation for a failure', async () => {
    const env = { GITHUB_ACTIONS: 'true' };
    const good = await home.run([source, `dir:${join(home.path, 'github')}`], { env });
    const lines = good.stderr.trimEnd().split('\n');
    assert.match(lines[0] ?? '', /^::group::imgcopy docker:.*\/app:1 dir:.*\/github$/);
    assert.deepEqual(lines.slice(-2, -1), ['::endgroup::']);
    const bad = await home.run([`${registry.host}/app:none`, `dir:${join(home.path, 'bad%20')}`], { env });
    const marked = bad.stderr.split('\n').filter((line) => line.startsWith('::'));
    const annotations = marked.filter((line) => !/^::(?:end)?group::/.test(line));
    assert.deepEqual(marked.slice(-2), ['::endgroup::', annotations[0]]);
    assert.equal(annotations.length, 1);
    assert.match(annotations[0] ?? '', /^::error::imgcopy: copying .*bad%2520: GET http.*: 404 .* hint: /);
  });

  test('a second copy says that there is nothing to do, and gives the same result', async () => {
    const args = [source, `${registry.host}/again:1`];
    const first = await home.run(args);
    const second = await home.run(args);
    assert.deepEqual([second.status, second.stdout], [0, first.stdout]);
    assert.match(second.stderr, /^docker:.*\/again:1 is already up to date \(.*\)\n$/m);
  });

  test('--quiet leaves the result alone, by option or by variable', async () => {
    const byOption = await home.run(['-q', source, `${registry.host}/quiet:1`]);
    const byVariable = await home.run([source, `${registry.host}/quiet:2`], { env: { IMGCOPY_QUIET: '1' } });
    for (const { status, stdout, stderr } of [byOption, byVariable]) {
      assert.deepEqual(
        { status, stdout, stderr },
        { status: 0, stdout: `docker://${registry.host}/quiet@${digest}\n`, stderr: '' },
      );
    }
  });

  test('a variable that says no leaves its option off, and an option goes before its variable', async () => {
    const env = { IMGCOPY_QUIET: '0', IMGCOPY_JSON: '', IMGCOPY_PROGRESS: 'json' };
    const { stdout, stderr } = await home.run(['--progress=plain', source, `${registry.host}/loud:1`], { env });
    assert.match(stdout, /^docker:/);
    assert.match(stderr, /\/loud:1: layer [0-9a-f]{12}/m);
  });

  test('--output chooses what is printed: the image as Kubernetes takes it, the digest, or JSON', async () => {
    const printed = async (output: string, to: string): Promise<string> =>
      (await home.run(['-q', '--output', output, source, to])).stdout;
    assert.equal(await printed('image', `${registry.host}/printed:1`), `${registry.host}/printed@${digest}\n`);
    assert.equal(await printed('digest', `${registry.host}/printed:1`), `${digest}\n`);
    assert.equal(
      await printed('reference', `${registry.host}/printed:1`),
      `docker://${registry.host}/printed@${digest}\n`,
    );
    const { digest: found } = JSON.parse(await printed('json', `${registry.host}/printed:1`)) as { digest: string };
    assert.equal(found, digest);
  });

  test('--output image is refused for a directory, before anything is copied', async () => {
    const { status, stdout, stderr } = await home.run(['--output=image', source, `dir:${join(home.path, 'no-image')}`]);
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, /--output image needs a registry as destination/);
    await assert.rejects(access(join(home.path, 'no-image')), { code: 'ENOENT' });
  });

  test('--json prints one object with what the copy came to', async () => {
    const { stdout } = await home.run(['--json', '-q', source, `dir:${join(home.path, 'json')}`]);
    const { durationMs, requests, ...rest } = JSON.parse(stdout) as Record<string, unknown>;
    const total = [...image.blobs.values()].reduce((sum, blob) => sum + blob.length, 0);
    const { config } = JSON.parse(image.manifest.bytes.toString()) as { config: { digest: string } };
    assert.deepEqual(rest, {
      source,
      destination: `dir:${join(home.path, 'json')}`,
      digest,
      mediaType: image.manifest.mediaType,
      size: image.manifest.bytes.length,
      imageId: config.digest,
      manifests: 1,
      blobs: { total: 4, reused: 0, mounted: 0, partial: 0, copied: 4 },
      bytes: { total, fetched: total, reused: 0, uploaded: total },
      retries: 0,
      servedFrom: [{ address: source.replace(/^docker:\/\/|:1$/g, ''), manifests: 1, blobs: 4, bytes: total }],
      skipped: null,
    });
    assert.deepEqual([typeof durationMs, Object.keys(requests as object)], ['number', ['source', 'destination']]);
  });

  test('--progress json prints the events of the library, an object a line', async () => {
    const { stderr } = await home.run(['--progress=json', source, `dir:${join(home.path, 'events')}`]);
    const types = stderr
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { type: string }).type);
    assert.deepEqual([types[0], types.at(-1)], ['started', 'done']);
    assert.equal(types.filter((type) => type === 'blob-done').length, 4);
  });

  test('--digestfile holds the digest, without a line end as skopeo has it', async () => {
    const file = join(home.path, 'digest');
    await home.run(['--digestfile', file, source, `dir:${join(home.path, 'digested')}`]);
    assert.equal(await readFile(file, 'utf8'), digest);
  });

  test('a digest file that cannot be written is an error, though the image was copied', async () => {
    const { status, stdout, stderr } = await home.run([
      '--digestfile=/none/d',
      source,
      `dir:${join(home.path, 'late')}`,
    ]);
    assert.deepEqual([status, stdout], [1, '']);
    assert.match(stderr, new RegExp(`the image was copied, but its digest ${digest} could not be written to /none/d`));
  });

  test('a reader that goes away is not a reason to complain', async () => {
    const { child, result } = home.start([source, `${registry.host}/closed:1`]);
    result.catch(() => undefined);
    child.stdout?.destroy();
    child.stderr?.destroy();
    const [status] = (await once(child, 'exit')) as [number | null];
    assert.equal(status, 0);
    assert.equal(registry.manifest('closed', '1')?.digest, digest);
  });

  test('--all says that the other tags stay, where none is named', async () => {
    const { status, stderr } = await home.run(['--all', `${registry.host}/app`, `dir:${join(home.path, 'all')}`]);
    assert.equal(status, 0);
    assert.match(stderr, /warning: .*only the tag latest is copied/);
  });

  test('several platforms make a new index, which a warning says', async () => {
    const platforms = ['amd64', 'arm64', 's390x'].map((architecture) => ({ os: 'linux', architecture }));
    const images = platforms.map((platform) => ({ image: buildImage({ platform, layers: [] }), platform }));
    registry.seed('app', 'many', buildIndex({ images }));
    const { status, stderr, stdout } = await home.run([
      '-p',
      'linux/amd64,linux/arm64',
      `${registry.host}/app:many`,
      `dir:${join(home.path, 'two')}`,
    ]);
    assert.equal(status, 0, stderr);
    assert.match(stderr, /: warning: /m);
    assert.ok(!stdout.includes(digest));
  });
});
