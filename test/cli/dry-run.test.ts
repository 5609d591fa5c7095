import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { CopyPlan } from '../../src/index.ts';
import { createCliHome, type CliHome } from '../support/imgcopy-command.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

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
