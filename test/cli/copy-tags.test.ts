import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { images, index } from '../library/signed-image.ts';
import { createCliHome, type CliHome } from '../support/imgcopy-command.ts';
import type { TestImage } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

const [amd64] = images as [TestImage];

describe('all tags on the command line', () => {
  let home: CliHome;
  let from: TestRegistry;
  let to: TestRegistry;

  before(async () => {
    home = await createCliHome();
    from = await startRegistry();
    for (const tag of ['1.0.0', '1.1.0', '2.0.0', 'latest']) from.seed('app', tag, tag === '1.0.0' ? amd64 : index);
  });

  beforeEach(async () => {
    to = await startRegistry();
  });

  afterEach(() => to.close());

  after(async () => {
    await from.close();
    await home[Symbol.asyncDispose]();
  });

  test('a line for each on standard output, pinned by digest, and a summary', async () => {
    const { status, stdout, stderr } = await home.run(['--all-tags', `${from.host}/app`, `${to.host}/app`]);
    assert.equal(status, 0);
    assert.deepEqual(
      stdout.trimEnd().split('\n').toSorted(),
      from.tags('app').map((tag) => `docker://${to.host}/app:${tag}@${from.manifest('app', tag)?.digest}`),
    );
    assert.match(stderr, /^4 tags: 4 copied, 0 already there; \d.* downloaded in .* s\n$/);
    const again = await home.run(['copy', '--all-tags', '-q', `${from.host}/app`, `${to.host}/app`]);
    assert.deepEqual([again.status, again.stderr], [0, '']);
  });

  test('some of them, by globs and ranges', async () => {
    await home.run(['-q', '--tags', '1.*', `${from.host}/app`, `${to.host}/ones`]);
    assert.deepEqual(to.tags('ones').toSorted(), ['1.0.0', '1.1.0']);
    const name = `${to.host}/some`;
    const { stdout } = await home.run(['-q', '--semver', '^1.1', '--semver', '2', `${from.host}/app`, name]);
    assert.equal(stdout.trimEnd().split('\n').length, 2);
    assert.deepEqual(to.tags('some').toSorted(), ['1.1.0', '2.0.0']);
    await home.run(['-q', '--exclude', 'latest', '--exclude', '2.*', '--output', 'digest', `${from.host}/app`, name]);
    assert.deepEqual(to.tags('some').toSorted(), ['1.0.0', '1.1.0', '2.0.0']);
  });

  test('no tag matches: status 3', async () => {
    const { status, stdout, stderr } = await home.run(['--tags', '9.*', `${from.host}/app`, `${to.host}/app`]);
    assert.deepEqual([status, stdout], [3, '']);
    assert.match(stderr, /no tag of docker:\/\/\S+\/app matches\n {2}hint: imgcopy tags .* \[ERR_NO_TAGS\]/);
  });

  test('one fails: the others come over, each failure is told, and the status is 7', async () => {
    to.behave({ match: { method: 'PUT', path: /\/manifests\/(?:latest|2.0.0)$/ }, status: 403 });
    const { status, stdout, stderr } = await home.run(['--all-tags', '--json', `${from.host}/app`, `${to.host}/app`]);
    assert.equal(status, 7);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { tag: string; digest?: string; error?: { code: string } });
    assert.deepEqual(lines.map(({ tag, error }) => `${tag} ${error?.code ?? 'copied'}`).toSorted(), [
      '1.0.0 copied',
      '1.1.0 copied',
      '2.0.0 ERR_DENIED',
      'latest ERR_DENIED',
    ]);
    for (const { tag, digest } of lines)
      if (digest !== undefined) assert.equal(digest, from.manifest('app', tag)?.digest);
    for (const tag of ['2.0.0', 'latest']) assert.match(stderr, new RegExp(`imgcopy: copying tag ${tag} of docker:`));
    assert.match(stderr, /4 tags: 2 copied, 0 already there, 2 failed;/);
  });

  test('all fail: the status that they have in common', async () => {
    to.behave({ match: { method: 'PUT', path: /\/manifests\// }, status: 403 });
    const { status, stdout } = await home.run(['--all-tags', `${from.host}/app`, `${to.host}/app`]);
    assert.deepEqual([status, stdout], [4, '']);
  });

  test('what does not go together: status 2, and nothing is asked', async () => {
    from.reset();
    const [source, destination] = [`${from.host}/app`, `${to.host}/app`];
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [[source, `${destination}:v1`], /names one image.*\n {2}hint: leave out :v1/],
      [[`${source}:v1`, destination], /names one image/],
      [[source, `dir:${home.path}/out`], /cannot hold several tags\n {2}hint: .*oci:PATH/],
      [[source, destination, `${to.host}/other`], /one destination/],
      [['--digestfile', 'digest', source, destination], /--digestfile is for one image/],
      [['--additional-tag', 'x', source, destination], /--additional-tag is for one image/],
      [['--max-bytes', '1G', source, destination], /--max-bytes is for one image/],
      [['--semver', 'newest', source, destination], /invalid version range/],
      [['--output', 'image', source, `oci:${home.path}/layout`], /needs a registry/],
    ];
    for (const [args, message] of cases) {
      const { status, stderr } = await home.run(['--all-tags', ...args]);
      assert.deepEqual([status, message.test(stderr)], [2, true], stderr);
    }
    assert.equal(from.requests.length + to.requests.length, 0);
  });

  test('a user of crane cp -a is told what copies all tags', async () => {
    const { stderr } = await home.run(['-a', `${from.host}/app`, `${to.host}/app`]);
    assert.match(stderr, /only the tag latest is copied. --all-tags copies all\n/);
  });

  test('events in JSON say which tag they are for', async () => {
    const { stderr } = await home.run(['--tags', '1.*', '--progress', 'json', `${from.host}/app`, `${to.host}/app`]);
    const events = stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; tag: string });
    const done = events.filter(({ type }) => type === 'done').map(({ tag }) => tag);
    assert.deepEqual(done.toSorted(), ['1.0.0', '1.1.0']);
  });
});
