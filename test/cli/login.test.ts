import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createCliHome, type CliHome } from '../support/cli.ts';
import { buildImage } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

const image = buildImage({ layers: [] });

let home: CliHome;

before(async () => {
  home = await createCliHome();
});

after(async () => {
  await home[Symbol.asyncDispose]();
});

async function startLocked(kind: 'basic' | 'bearer'): Promise<TestRegistry> {
  const registry = await startRegistry({ auth: { kind, username: 'bob', password: 's3cret' } });
  registry.seed('app', '1', image);
  return registry;
}

describe('login', { concurrency: 4 }, () => {
  for (const kind of ['basic', 'bearer'] as const) {
    test(`credentials that a ${kind} registry takes are stored, used, and removed by logout`, async () => {
      await using registry = await startLocked(kind);
      const authfile = join(home.path, `${kind}.json`);
      const login = ['login', '-u', 'bob', '--password-stdin', '--authfile', authfile];

      const { status, stdout, stderr } = await home.run([...login, registry.host], { input: 's3cret\n' });

      assert.deepEqual([status, stdout], [0, ''], stderr);
      assert.equal(stderr, `logged in to ${registry.host} as bob; the credentials are in ${authfile}\n`);
      const read = ['digest', '--authfile', authfile, `${registry.host}/app:1`];
      assert.equal((await home.run(read)).stdout, `${image.manifest.digest}\n`);
      const logout = ['logout', '--authfile', authfile, registry.host];
      assert.match((await home.run(logout)).stderr, /^removed the credentials for .* from /);
      assert.equal((await home.run(read)).status, 4);
      assert.equal((await home.run(logout)).stderr, `not logged in to ${registry.host}\n`);
    });

    test(`credentials that a ${kind} registry refuses are not stored`, async () => {
      await using registry = await startLocked(kind);
      const authfile = join(home.path, `${kind}-refused.json`);
      const { status, stderr } = await home.run([
        'login',
        '-u=bob',
        '-p',
        'wr0ng',
        '--authfile',
        authfile,
        registry.host,
      ]);
      assert.equal(status, 4);
      assert.match(stderr, /^imgcopy: logging in to .*\n {2}.*401.*\n {2}hint: /);
      assert.doesNotMatch(stderr, /wr0ng/);
      await assert.rejects(readFile(authfile), { code: 'ENOENT' });
    });
  }

  test('a registry that asks nobody leaves the credentials unchecked, which a warning says', async () => {
    await using registry = await startRegistry();
    const { status, stderr } = await home.run(['login', '-u', 'a', '-p', 'b', registry.host]);
    assert.equal(status, 0);
    assert.match(stderr, /^warning: .* the password was not checked\nlogged in to /);
  });

  for (const [what, args] of [
    ['a user name, where nobody can be asked', ['login', 'registry.test']],
    ['a password, where nobody can be asked', ['login', '-u', 'bob', 'registry.test']],
    ['a registry', ['login', '-u', 'bob', '-p', 'x', 'registry.test/app']],
    ['a host, not a namespace of Docker Hub', ['logout', 'bob']],
    ['one password', ['login', '-u', 'bob', '-p', 'x', '--password-stdin', 'registry.test']],
  ] as const) {
    test(`it wants ${what}`, async () => {
      const { status, stderr } = await home.run(args);
      assert.equal(status, 2, stderr);
      assert.match(stderr, /hint: /);
    });
  }
});
