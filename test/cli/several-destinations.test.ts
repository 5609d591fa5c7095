import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { writeCertificates } from '../support/certificate-files.ts';
import { selfSignedCertificate } from '../support/certificate.ts';
import { buildImage } from '../support/images.ts';
import { createCliHome, type CliHome } from '../support/imgcopy-command.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

const image = buildImage({ layers: { count: 2, size: 50_000 } });
const { digest } = image.manifest;

let home: CliHome;
let source: TestRegistry;
let one: TestRegistry;
let two: TestRegistry;
let from: string;

before(async () => {
  home = await createCliHome();
  source = await startRegistry();
  one = await startRegistry();
  two = await startRegistry();
  source.seed('app', '1', image);
  two.behave({ match: { method: 'POST', path: /\/denied\// }, status: 403 });
  one.behave({ match: { method: 'POST', path: /\/denied\// }, status: 403 });
  from = `docker://${source.host}/app:1`;
});

after(async () => {
  await Promise.all([source.close(), one.close(), two.close()]);
  await home[Symbol.asyncDispose]();
});

describe('a copy to several destinations', () => {
  test('prints a line for each, in the order given', async () => {
    const directory = join(home.path, 'all');
    const run = await home.run([from, `${one.host}/all:2`, `dir:${directory}`, `${two.host}/all`]);
    const lines = [
      `docker://${one.host}/all@${digest}`,
      `dir:${directory}@${digest}`,
      `docker://${two.host}/all@${digest}`,
    ];
    assert.deepEqual([run.status, run.stdout], [0, `${lines.join('\n')}\n`]);
    assert.deepEqual([one.tags('all'), two.tags('all')], [['2'], ['1']]);
    for (const name of [`docker://${one.host}/all:2`, `dir:${directory}`, `docker://${two.host}/all:1`])
      assert.ok(run.stderr.includes(`${name}: 3 blobs: 3 copied`), run.stderr);
  });

  test('ends with 7 where some failed: their lines are empty, and what failed is reported', async () => {
    const run = await home.run([from, `${one.host}/denied:1`, `${two.host}/some:1`]);
    assert.deepEqual([run.status, run.stdout], [7, `\ndocker://${two.host}/some@${digest}\n`]);
    assert.match(run.stderr, new RegExp(`imgcopy: .*\\n  docker://${one.host}/denied:1: POST .*403`));
    assert.equal(run.stderr.match(/^imgcopy:/gm)?.length, 1);
    assert.deepEqual(two.manifest('some', '1'), image.manifest);
  });

  test('--json prints an object a line, and an error in the place of what a copy came to', async () => {
    const run = await home.run(['--json', from, `${one.host}/denied:1`, `${two.host}/json:1`]);
    const [failed, copied] = run.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.equal(run.status, 7);
    assert.deepEqual([failed?.['source'], failed?.['destination']], [from, `docker://${one.host}/denied:1`]);
    assert.partialDeepStrictEqual(failed, { error: { code: 'ERR_DENIED', kind: 'denied', side: 'destination' } });
    assert.deepEqual([copied?.['destination'], copied?.['digest']], [`docker://${two.host}/json:1`, digest]);
    assert.equal('destinationId' in (copied ?? {}), false);
  });

  test('ends with the status that all failures have, and with 1 where they differ', async () => {
    const denied = await home.run([from, `${one.host}/denied:1`, `${two.host}/denied:2`]);
    assert.deepEqual([denied.status, denied.stdout], [4, '\n\n']);
    const different = await home.run([from, `${one.host}/denied:1`, `dir:/dev/null/x`]);
    assert.deepEqual([different.status, different.stdout], [1, '\n\n']);
  });

  test('what is wrong with the source is reported once', async () => {
    const run = await home.run([`${source.host}/none:1`, `${one.host}/x:1`, `${two.host}/x:1`]);
    assert.deepEqual([run.status, run.stdout], [3, '\n\n']);
    assert.equal(run.stderr.match(/^imgcopy:/gm)?.length, 1, run.stderr);
    assert.deepEqual([one.tags('x'), two.tags('x')], [[], []]);
  });

  test('names that cannot be read, and destinations that are one, are exit 2', async () => {
    const wrong: readonly (readonly [readonly string[], RegExp])[] = [
      [[from, `${one.host}/a:1`, 'docker://'], /ERR_INVALID_REFERENCE/],
      [[from, `${one.host}/a:1`, `${one.host}/a:1`], /two destinations are the same place.*\n.*ERR_SAME_PLACE/],
      [[from, `${one.host}/a:1`, from], /ERR_SAME_PLACE/],
      [['--output', 'image', from, `${one.host}/a:1`, `dir:${home.path}/a`], /ERR_USAGE/],
    ];
    for (const [args, message] of wrong) {
      const { status, stdout, stderr } = await home.run(args);
      assert.deepEqual([status, stdout], [2, ''], stderr);
      assert.match(stderr, message);
    }
    assert.deepEqual(one.tags('a'), []);
  });

  test('one secret is not given to two registries', async (t) => {
    const { cert, key } = selfSignedCertificate();
    const certDir = await writeCertificates(t, { 'client.cert': cert, 'client.key': key });
    const onlyCa = await writeCertificates(t, { 'ca.crt': cert });
    const ways = [
      ['--dest-creds', 'user:secret'],
      ['--creds', 'user:secret'],
      ['--dest-username', 'user', '--dest-password', 'secret'],
      ['--dest-registry-token', 'secret'],
      ['--dest-cert-dir', certDir],
      ['--cert-dir', certDir],
    ];
    one.reset();
    two.reset();
    for (const way of ways) {
      const run = await home.run([...way, from, `${one.host}/secret:1`, `${two.host}/secret:1`]);
      assert.deepEqual([run.status, run.stdout], [2, ''], `${way.join(' ')}: ${run.stderr}`);
      assert.match(run.stderr, /would go to 2 registries.*\n.*\[ERR_SECRET_FOR_SEVERAL\]/);
      assert.doesNotMatch(run.stderr, /:secret|user:/);
    }
    assert.deepEqual([one.requests, two.requests], [[], []]);
    const byEnvironment = await home.run([from, `${one.host}/secret:1`, `${two.host}/secret:1`], {
      env: { IMGCOPY_DEST_CREDS: 'user:secret' },
    });
    assert.equal(byEnvironment.status, 2);
    const harmless = await home.run([
      '--dest-cert-dir',
      onlyCa,
      '--dest-creds',
      'user:secret',
      from,
      `${one.host}/b:1`,
      `${one.host}/c:1`,
    ]);
    assert.equal(harmless.status, 0, harmless.stderr);
    const noSecret = await home.run(['--src-creds', 'user:secret', from, `${one.host}/d:1`, `${two.host}/d:1`]);
    assert.equal(noSecret.status, 0, noSecret.stderr);
  });

  test('--digestfile has the digest of all copies, --additional-tag tags each, and --no-clobber decides for each', async () => {
    const file = join(home.path, 'digest');
    const to = [`${one.host}/tags:1`, `${two.host}/tags:1`];
    const run = await home.run(['--digestfile', file, '--additional-tag', 'more', from, ...to]);
    assert.equal(run.status, 0, run.stderr);
    assert.equal(await readFile(file, 'utf8'), digest);
    assert.deepEqual(
      [one.tags('tags'), two.tags('tags')],
      [
        ['1', 'more'],
        ['1', 'more'],
      ],
    );
    const other = buildImage({ layers: { count: 1, size: 10_000, seed: 'other' } });
    source.seed('app', '2', other);
    const kept = await home.run(['--no-clobber', `${source.host}/app:2`, to[0] ?? '', `${two.host}/tags:2`]);
    assert.equal(kept.status, 0, kept.stderr);
    assert.deepEqual(one.manifest('tags', '1'), image.manifest);
    assert.deepEqual(two.manifest('tags', '2'), other.manifest);
  });

  test('progress names the destination', async () => {
    const args = [from, `${one.host}/progress:1`, `${two.host}/denied:1`];
    const json = await home.run(['--progress', 'json', ...args]);
    const events = json.stderr
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, string>);
    for (const type of ['started', 'blob-started'])
      assert.deepEqual(
        new Set(events.filter((event) => event['type'] === type).map((event) => event['destinationId'])),
        new Set([`docker://${one.host}/progress:1`, `docker://${two.host}/denied:1`]),
      );
    assert.deepEqual(
      events.filter(({ type }) => type === 'failed').map(({ destinationId, code }) => [destinationId, code]),
      [[`docker://${two.host}/denied:1`, 'ERR_DENIED']],
    );
    const github = await home.run(['--progress', 'github', ...args]);
    assert.equal(github.stderr.match(/^::group::/gm)?.length, 1);
    assert.equal(github.stderr.match(/^::error::/gm)?.length, 1);
    assert.match(github.stderr, new RegExp(`^docker://${one.host}/progress:1 is already up to date`, 'm'));
  });
});
