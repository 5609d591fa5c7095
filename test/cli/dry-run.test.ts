import assert from 'node:assert/strict';
import { access, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { CopyPlan, CopyResult } from '../../src/index.ts';
import { createCliHome, runImgcopy, type CliHome } from '../support/imgcopy-command.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { skip, STRANGER, workingDirectory } from './stranger.ts';

const [kept, added] = [randomBytes('kept', 30_000), randomBytes('added', 20_000)];
const old = buildImage({ layers: [kept] });
const image = buildImage({ layers: [kept, added] });

let home: CliHome;
let registry: TestRegistry;
let other: TestRegistry;

before(async () => {
  home = await createCliHome();
  registry = await startRegistry();
  other = await startRegistry();
  registry.seed('app', '1', image);
  other.seed('copy', '1', old);
});

after(async () => {
  await registry.close();
  await other.close();
  await home[Symbol.asyncDispose]();
});

describe('--dry-run', () => {
  test('a table says what of each manifest and blob would be done, and what it costs', async () => {
    const { status, stdout, stderr } = await home.run([
      '--dry-run',
      '--limit-rate=10K',
      `${registry.host}/app:1`,
      `${other.host}/copy:1`,
    ]);
    assert.deepEqual([status, stderr], [0, '']);
    const short = (digest: string): string => digest.slice('sha256:'.length, 'sha256:'.length + 12);
    const [layer, second, config] = [...image.blobs]
      .toSorted(([, a], [, b]) => b.length - a.length)
      .map(([digest]) => short(digest));
    assert.equal(
      stdout,
      [
        `dry run: docker://${registry.host}/app:1 to docker://${other.host}/copy:1, nothing is written`,
        '',
        'WHAT      DIGEST           SIZE  ACTION',
        `manifest  ${short(image.manifest.digest)}    ${image.manifest.bytes.length} B  replaces ${old.manifest.digest}`,
        `layer     ${layer}  30.0 kB  already there`,
        `layer     ${second}  20.0 kB  copied`,
        `config    ${config}    299 B  copied`,
        '',
        `from the source     20.3 kB`,
        `to the destination  20.3 kB`,
        `requests            about 3 to the source, 9 to the destination`,
        `time                at least 2.0 s at --limit-rate`,
        '',
      ].join('\n'),
    );
    assert.equal(other.manifest('copy', '1')?.digest, old.manifest.digest);
  });

  test('--json prints one object, as the library gives it, and no file is made', async () => {
    const path = join(home.path, 'never');
    const { status, stdout } = await home.run(['--dry-run', '--json', `${registry.host}/app:1`, `dir:${path}`]);
    assert.equal(status, 0);
    assert.equal(stdout.trimEnd().split('\n').length, 1);
    const { source, destination, digest, bytes, blobs } = JSON.parse(stdout) as CopyPlan;
    assert.deepEqual(
      [source, destination, digest],
      [`docker://${registry.host}/app:1`, `dir:${path}`, image.manifest.digest],
    );
    assert.deepEqual(
      [bytes.uploaded, blobs.map(({ outcome }) => outcome)],
      [bytes.total, ['copied', 'copied', 'copied']],
    );
    await assert.rejects(access(path));
  });

  test('what is printed for scripts does not go with it', async () => {
    for (const others of [
      ['--digestfile', join(home.path, 'digest')],
      ['--output', 'digest'],
    ]) {
      const { status, stdout } = await home.run([
        '--dry-run',
        ...others,
        `${registry.host}/app:1`,
        `${other.host}/copy:1`,
      ]);
      assert.deepEqual([status, stdout], [2, '']);
    }
  });

  test('an image that does not exist is an error, as for a copy', async () => {
    const { status, stdout, stderr } = await home.run([
      '--dry-run',
      `${registry.host}/app:none`,
      `${other.host}/copy:1`,
    ]);
    assert.deepEqual([status, stdout], [3, '']);
    assert.match(stderr, /planning a copy of|not found/i);
  });
});

describe('--dry-run with several destinations', () => {
  const size = [...image.blobs.values()].reduce((sum, bytes) => sum + bytes.length, 0);
  const kB = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`;

  test('a table for each, in the order given, and the bytes of the source once for all', async () => {
    const from = `${registry.host}/app:1`;
    const { status, stdout, stderr } = await home.run([
      '--dry-run',
      from,
      `${other.host}/a:1`,
      `${other.host}/b:1`,
      `dir:${home.path}/never`,
    ]);
    assert.deepEqual([status, stderr], [0, '']);
    const [first = '', second = '', third = '', together = ''] = stdout.split(/^(?=dry run: |all 3 )/m);
    assert.match(first, new RegExp(`^dry run: docker://${from} to docker://${other.host}/a:1, nothing is written\n`));
    assert.match(first, new RegExp(`^from the source     ${kB(size)}\nto the destination  ${kB(size)}\n`, 'm'));
    assert.equal(second.match(new RegExp(`tries to mount from ${other.host}/a$`, 'gm'))?.length, 3);
    assert.match(second, /^from the source     0 B\nto the destination  0 B\n/m);
    assert.match(third, new RegExp(`^from the source     ${kB(size)}$`, 'm'));
    assert.match(together, /^all 3 destinations together, each byte of the source read once:\n\n/);
    assert.match(together, new RegExp(`^from the source     ${kB(size)}\nto the destination  101 kB\n`, 'm'));
    assert.deepEqual([other.tags('a'), other.tags('b')], [[], []]);
    await assert.rejects(access(join(home.path, 'never')));
  });

  test('--json prints an object a line; where one fails, its line has the error and the status is 7', async () => {
    const to = [`${other.host}/a:1`, `dir:${registry.host}`, `dir:${join(home.path, 'file')}`];
    await writeFile(join(home.path, 'file'), '');
    const { status, stdout, stderr } = await home.run(['--dry-run', '--json', `${registry.host}/app:1`, ...to]);
    const [first, second, third] = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as CopyPlan & { error?: { code: string } });
    assert.equal(status, 7, stderr);
    assert.deepEqual([first?.destination, first?.bytes.uploaded], [`docker://${to[0]}`, size]);
    assert.deepEqual(first?.together?.bytes, { fetched: size, uploaded: 2 * size });
    assert.deepEqual(second?.together, first?.together);
    assert.deepEqual([third?.destination, third?.error?.code], [to[2], 'ERR_NOT_A_DIRECTORY']);
    assert.match(stderr, /is a file, not a directory/);
  });
});

describe('--dry-run with all tags', () => {
  test('a line for each tag, and what all of them cost: shared layers once', async () => {
    await using from = await startRegistry();
    from.seed('app', '1', old);
    from.seed('app', '2', image);
    from.seed('app', '3', image);
    other.seed('tags', '2', old);
    const { status, stdout, stderr } = await home.run([
      '--dry-run',
      '--all-tags',
      `${from.host}/app`,
      `${other.host}/tags`,
    ]);
    assert.deepEqual([status, stderr], [0, '']);
    const [head = '', ...lines] = stdout.trimEnd().split('\n');
    assert.equal(head, `dry run: all tags of ${from.host}/app to ${other.host}/tags, nothing is written`);
    const rows = lines
      .slice(2, 5)
      .toSorted()
      .map((line) => line.split(/ {2,}/));
    assert.deepEqual(
      rows.map(([tag, digest, , , action]) => [tag, image.manifest.digest.includes(digest ?? ''), action]),
      [
        ['1', false, 'new'],
        ['2', true, `replaces ${old.manifest.digest}`],
        ['3', true, 'new'],
      ],
    );
    assert.equal(lines[6], '3 tags together:');
    assert.match(stdout, /^from the source     20\.3 kB\nto the destination  20\.3 kB\n/m);
    assert.deepEqual(other.tags('tags'), ['2']);
    const mounted = await home.run(['--dry-run', '--all-tags', `${from.host}/app`, `${from.host}/copy`]);
    assert.match(mounted.stdout, /^If the registry declines 4 mounts, up to 50\.5 kB more move each way\.$/m);
  });

  test('a tag that cannot be planned is told as such, and one that the destination hides says so in words', async () => {
    await using from = await startRegistry();
    for (const tag of ['1', '2']) from.seed('app', tag, image);
    from.behave({ match: { method: 'GET', path: /\/app\/manifests\/1$/ }, status: 403 });
    await using to = await startRegistry();
    to.behave({ match: { path: /\/copy\/manifests\// }, status: 403 });
    const { stdout, stderr } = await home.run(['--dry-run', '--all-tags', `${from.host}/app`, `${to.host}/copy`]);
    assert.match(stderr, new RegExp(`^imgcopy: planning a copy of tag 1 of docker://${from.host}/app\n`));
    assert.match(stdout, /^2 .* {2}the destination does not say what is there$/m);
  });

  test('--json prints an object for each, with its tag; no match is status 3', async () => {
    const { status, stdout } = await home.run([
      '--dry-run',
      '--json',
      '--tags',
      '1',
      `${registry.host}/app`,
      `${other.host}/json`,
    ]);
    assert.equal(status, 0);
    const { tag, destination, bytes } = JSON.parse(stdout) as CopyPlan & { tag: string };
    assert.deepEqual([tag, destination], ['1', `docker://${other.host}/json:1`]);
    assert.equal(bytes.uploaded, bytes.total);
    const none = await home.run(['--dry-run', '--json', '--tags', '9', `${registry.host}/app`, `${other.host}/json`]);
    assert.deepEqual([none.status, none.stdout], [3, '']);
  });
});

describe('--dry-run and what a copy refuses', () => {
  test('what a directory, a layout or an archive would refuse is told by the dry run in the same words', async () => {
    const at = (name: string): string => join(home.path, 'refused', name);
    await mkdir(at('mine'), { recursive: true });
    await writeFile(at('mine/notes.txt'), 'mine');
    await writeFile(at('file'), 'a file');
    await mkdir(at('later'));
    await writeFile(at('later/version'), 'Directory Transport Version: 9.9\n');
    await writeFile(at('later/manifest.json'), '{}');
    await mkdir(at('layout'));
    await writeFile(at('layout/oci-layout'), '{"imageLayoutVersion":"9.0.0"}');
    const cases = [
      [`dir:${at('mine')}`, 'ERR_DIR_NOT_EMPTY'],
      [`dir:${at('mine')}`, 'ERR_DIR_NOT_EMPTY', '-n'],
      [`oci:${at('mine')}:1`, 'ERR_DIR_NOT_EMPTY'],
      [`dir:${at('file')}`, 'ERR_NOT_A_DIRECTORY'],
      [`dir:${at('file/below')}`, 'ERR_NOT_A_DIRECTORY'],
      [`oci:${at('file')}:1`, 'ERR_NOT_A_DIRECTORY'],
      [`dir:${at('later')}`, 'ERR_DIR_VERSION'],
      [`oci:${at('layout')}:1`, 'ERR_LAYOUT_VERSION'],
      [`oci-archive:${at('mine')}:1`, 'ERR_NOT_A_FILE'],
      [`oci-archive:${at('none/archive.tar')}:1`, 'ERR_NO_DIRECTORY'],
    ] as const;
    const lastLines = ({ stderr }: { readonly stderr: string }): string =>
      stderr.slice(stderr.indexOf('destination: '));
    for (const [destination, code, ...flags] of cases) {
      const args = [...flags, `${registry.host}/app:1`, destination];
      const [dry, copied] = await Promise.all([home.run(['--dry-run', ...args]), home.run(['-q', ...args])]);
      assert.match(dry.stderr, new RegExp(`\\[${code}\\]`), destination);
      assert.deepEqual([dry.status, dry.stdout], [copied.status, ''], destination);
      assert.equal(lastLines(dry), lastLines(copied));
    }
  });

  test('an image that is there and must not be replaced is kept, as the copy leaves it', async () => {
    for (const destination of [`dir:${home.path}/kept`, `oci-archive:${home.path}/kept.tar:1`]) {
      await home.run(['-q', `${other.host}/copy:1`, destination]);
      const { status, stdout } = await home.run(['--dry-run', '-n', '--json', `${registry.host}/app:1`, destination]);
      const { skipped, manifests } = JSON.parse(stdout) as CopyPlan;
      assert.deepEqual([status, skipped, manifests.map(({ outcome }) => outcome)], [0, 'exists', ['kept']]);
    }
  });

  test('a directory without permission is told before anything is read', { skip }, async (t) => {
    const cwd = await workingDirectory(t);
    await mkdir(join(cwd, 'closed', 'image'), { recursive: true });
    for (const destination of [
      'dir:closed/image',
      'dir:closed/new',
      'oci:closed/a/b:1',
      'oci-archive:closed/a.tar:1',
    ]) {
      const args = [`${registry.host}/app:1`, destination];
      const [dry, copied] = [
        await runImgcopy(['--plain-http', '--dry-run', ...args], { env: {}, cwd, uid: STRANGER }),
        await runImgcopy(['--plain-http', '-q', ...args], { env: {}, cwd, uid: STRANGER }),
      ];
      assert.deepEqual([dry.status, copied.status], [1, 1], dry.stderr);
      for (const { stderr } of [dry, copied]) assert.match(stderr, /cannot write .*closed.*\n.*\[ERR_NOT_WRITABLE\]/);
    }
  });

  test('layers that --since leaves out are told as such, by the dry run and by the copy', async () => {
    const args = ['--since', `${other.host}/copy:1`, `${registry.host}/app:1`, `oci-archive:${home.path}/delta.tar:1`];
    const { stdout } = await home.run(['--dry-run', ...args]);
    assert.match(stdout, /^layer .* 30\.0 kB {2}left out$/m);
    assert.doesNotMatch(stdout, /already there/);
    const plan = JSON.parse((await home.run(['--dry-run', '--json', ...args])).stdout) as CopyPlan;
    assert.deepEqual(
      plan.blobs.map(({ outcome }) => outcome),
      ['left-out', 'copied', 'copied'],
    );
    const copied = await home.run(['--json', ...args]);
    const { blobs } = JSON.parse(copied.stdout) as CopyResult;
    assert.deepEqual(blobs, { total: 3, reused: 0, mounted: 0, partial: 0, copied: 2, leftOut: 1 });
    assert.match(copied.stderr, /3 blobs: 2 copied, 1 left out; /);
  });
});

describe('policies', () => {
  test('a policy that is not met ends the command with status 1, its code, and nothing written', async () => {
    const cases = [
      [['--max-bytes', '10K'], 'ERR_MAX_BYTES'],
      [['--if-digest', 'none'], 'ERR_IF_DIGEST'],
      [['--if-digest', image.manifest.digest], 'ERR_IF_DIGEST'],
      [['--require-referrer', 'application/*'], 'ERR_REQUIRED_REFERRER'],
    ] as const;
    for (const [flags, code] of cases) {
      const { status, stdout, stderr } = await home.run([...flags, `${registry.host}/app:1`, `${other.host}/copy:1`]);
      assert.deepEqual([status, stdout], [1, '']);
      assert.match(stderr, new RegExp(`\\[${code}\\]`));
    }
    assert.equal(other.manifest('copy', '1')?.digest, old.manifest.digest);
  });

  test('values that are none are refused', async () => {
    for (const flags of [
      ['--max-bytes', 'many'],
      ['--if-digest', 'sha256:1'],
      ['--if-digest', 'none', '--no-clobber'],
    ]) {
      const { status } = await home.run([...flags, `${registry.host}/app:1`, `${other.host}/copy:1`]);
      assert.equal(status, 2);
    }
  });
});
