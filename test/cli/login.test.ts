import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createCliHome, type CliHome } from '../support/imgcopy-command.ts';
import { selfSignedCertificate } from '../support/certificate.ts';
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

  test('--creds stores a user name and password too', async () => {
    await using registry = await startLocked('basic');
    const authfile = join(home.path, 'creds.json');
    const login = ['login', '--creds', 'bob:s3cret', '--authfile', authfile, registry.host];
    const { status, stderr } = await home.run(login);
    assert.equal(status, 0, stderr);
    assert.match(stderr, /^logged in to .* as bob/);
  });

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

describe('login --check', { concurrency: 4 }, () => {
  /** An auth file with this entry for a registry. */
  async function fileWith(name: string, host: string, entry: object): Promise<string> {
    const path = join(home.path, `${name}.json`);
    await writeFile(path, JSON.stringify({ auths: { [host]: entry } }));
    return path;
  }

  function entryOf(password: string): object {
    return { auth: Buffer.from(`bob:${password}`).toString('base64') };
  }

  for (const kind of ['basic', 'bearer'] as const) {
    test(`it names the file and the user that a ${kind} registry accepts, and stores nothing`, async () => {
      await using registry = await startLocked(kind);
      const authfile = await fileWith(`check-${kind}`, registry.host, entryOf('s3cret'));
      const stored = await readFile(authfile, 'utf8');

      const { status, stdout, stderr } = await home.run(['login', '--check', '--authfile', authfile, registry.host]);

      assert.deepEqual([status, stderr], [0, '']);
      assert.equal(
        stdout,
        `registry     ${registry.host}\n` +
          'credentials  user name and password, user bob\n' +
          `from         ${authfile}\n` +
          'answer       accepted by the registry\n',
      );
      assert.equal(await readFile(authfile, 'utf8'), stored);
    });

    test(`credentials that a ${kind} registry refuses end with status 4, and the secret is nowhere`, async () => {
      await using registry = await startLocked(kind);
      const authfile = await fileWith(`check-${kind}-wrong`, registry.host, entryOf('wr0ng'));

      const check = ['login', '--check', '--json', '--authfile', authfile];

      const { status, stdout, stderr } = await home.run([...check, registry.host]);

      assert.equal(status, 4);
      assert.deepEqual(JSON.parse(stdout), {
        registry: registry.host,
        credentials: { kind: 'password', username: 'bob' },
        from: authfile,
        searched: [],
        problems: [],
        answer: 'refused',
      });
      assert.match(stderr, /^imgcopy: checking the credentials for .*\n {2}.*401.*\n {2}hint: .* \[ERR_/);
      for (const secret of ['wr0ng', Buffer.from('bob:wr0ng').toString('base64')])
        assert.ok(!`${stdout}${stderr}`.includes(secret));
    });
  }

  test('without credentials it says where it looked, and that the registry wants some', async () => {
    await using registry = await startLocked('basic');
    const authfile = await fileWith('check-none', 'other.test', entryOf('s3cret'));
    const { status, stdout, stderr } = await home.run(['login', '--check', '--authfile', authfile, registry.host]);
    assert.equal(status, 4);
    assert.match(stdout, /^credentials {2}none$/m);
    assert.ok(stdout.includes(`not in       ${authfile}\n`), stdout);
    assert.match(stderr, /hint: log in with imgcopy login /);
  });

  test('without credentials it says that a registry gives tokens to everybody', async () => {
    const auth = { kind: 'bearer', username: 'bob', password: 's3cret', anonymousPull: true } as const;
    await using registry = await startRegistry({ auth });
    const { status, stdout } = await home.run(['login', '--check', '--json', registry.host]);
    assert.equal(status, 0);
    assert.partialDeepStrictEqual(JSON.parse(stdout), { credentials: null, from: null, answer: 'anonymous' });
  });

  test('credentials that the registry does not ask for are not called accepted', async () => {
    await using registry = await startRegistry();
    const authfile = await fileWith('check-open', registry.host, entryOf('s3cret'));
    const { status, stdout } = await home.run(['login', '--check', '--json', '--authfile', authfile, registry.host]);
    assert.equal(status, 0);
    assert.partialDeepStrictEqual(JSON.parse(stdout), { from: authfile, answer: 'unchecked' });
  });

  test('credentials on the command line are checked, and not stored', async () => {
    await using registry = await startLocked('bearer');
    const authfile = join(home.path, 'check-given.json');
    const { status, stdout } = await home.run(
      ['login', '--check', '--json', '-u', 'bob', '--password-stdin', '--authfile', authfile, registry.host],
      { input: 's3cret\n' },
    );
    assert.equal(status, 0);
    assert.partialDeepStrictEqual(JSON.parse(stdout), { from: '--username', answer: 'accepted' });
    await assert.rejects(readFile(authfile), { code: 'ENOENT' });
  });

  for (const [what, args, env, from] of [
    ['--creds', ['--creds', 'bob:s3cret'], {}, '--creds'],
    ['a variable', [], { IMGCOPY_CREDS: 'bob:s3cret' }, 'IMGCOPY_CREDS'],
    [
      'variables for user and password',
      [],
      { IMGCOPY_USERNAME: 'bob', IMGCOPY_PASSWORD: 's3cret' },
      'IMGCOPY_USERNAME',
    ],
  ] as const) {
    test(`credentials of ${what} are checked, as a copy would send them`, async () => {
      await using registry = await startLocked('bearer');
      const { status, stdout } = await home.run(['login', '--check', '--json', ...args, registry.host], { env });
      assert.equal(status, 0);
      assert.partialDeepStrictEqual(JSON.parse(stdout), { from, answer: 'accepted' });
    });
  }

  test('a registry token is checked as it is, and --no-creds leaves out what there is', async () => {
    await using registry = await startLocked('bearer');
    const authfile = await fileWith('check-options', registry.host, entryOf('s3cret'));
    const check = ['login', '--check', '--json', '--authfile', authfile, registry.host];
    const token = await home.run([...check, '--registry-token', 'nope']);
    assert.equal(token.status, 4);
    assert.partialDeepStrictEqual(JSON.parse(token.stdout), { credentials: { kind: 'registry-token' } });
    const none = await home.run([...check, '--no-creds']);
    assert.equal(none.status, 4);
    assert.partialDeepStrictEqual(JSON.parse(none.stdout), { credentials: null, from: '--no-creds' });
  });

  test('a repository gets the credentials of its namespace', async () => {
    await using registry = await startLocked('bearer');
    const authfile = join(home.path, 'check-namespace.json');
    const auths = { [registry.host]: entryOf('wr0ng'), [`${registry.host}/team`]: entryOf('s3cret') };
    await writeFile(authfile, JSON.stringify({ auths }));
    const check = ['login', '--check', '--authfile', authfile];
    assert.equal((await home.run([...check, `${registry.host}/team/app`])).status, 0);
    assert.equal((await home.run([...check, registry.host])).status, 4);
  });

  test('a credential helper that fails is named, with its own words', async () => {
    await using registry = await startLocked('basic');
    const authfile = join(home.path, 'check-helper.json');
    await writeFile(authfile, JSON.stringify({ credHelpers: { [registry.host]: 'not-there' } }));
    const { status, stdout } = await home.run(['login', '--check', '--json', '--authfile', authfile, registry.host]);
    assert.equal(status, 4);
    const { problems } = JSON.parse(stdout) as { problems: readonly string[] };
    assert.match(problems.join(), /docker-credential-not-there: is not installed/);
  });

  test('a registry that cannot be reached is not a refusal', async () => {
    const { status, stderr } = await home.run(['login', '--check', '--plain-http', '127.0.0.1:1']);
    assert.equal(status, 1, stderr);
    assert.match(stderr, /ERR_CONNECTION_REFUSED/);
  });

  test('registries.conf counts for a login as for a copy: insecure and blocked', async () => {
    const auth = { kind: 'basic', username: 'bob', password: 's3cret' } as const;
    await using registry = await startRegistry({ auth, tls: selfSignedCertificate() });
    const conf = join(home.path, 'login-registries.conf');
    const env = { CONTAINERS_REGISTRIES_CONF: conf };
    const login = ['login', '-u', 'bob', '-p', 's3cret', '--authfile', join(home.path, 'conf.json'), registry.host];
    for (const [setting, status] of [
      ['', 1],
      ['insecure = true', 0],
      ['blocked = true', 4],
    ] as const) {
      await writeFile(conf, `[[registry]]\nlocation = "${registry.host}"\n${setting}\n`);
      for (const args of [login, ['login', '--check', ...login.slice(1)]]) {
        const result = await home.run(args, { env });
        assert.equal(result.status, status, `${setting}: ${result.stderr}`);
        if (setting.startsWith('blocked')) assert.match(result.stderr, /ERR_REGISTRY_BLOCKED/);
      }
    }
  });

  test('--json without --check is refused', async () => {
    const { status, stderr } = await home.run(['login', '--json', '-u', 'bob', '-p', 'x', 'registry.test']);
    assert.equal(status, 2, stderr);
  });
});
