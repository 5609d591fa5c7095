import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createCliHome, type CliHome } from '../support/imgcopy-command.ts';
import { buildImage } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

let home: CliHome;
let locked: TestRegistry;

before(async () => {
  home = await createCliHome();
  locked = await startRegistry({ auth: { kind: 'basic', username: 'bob', password: 's3cret' } });
  locked.seed('app', '1', buildImage({ layers: [] }));
});

after(async () => {
  await locked[Symbol.asyncDispose]();
  await home[Symbol.asyncDispose]();
});

/** Runs `digest` and returns what it printed, which has to be a refusal without secrets. */
async function refusalOf(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  const { status, stderr } = await home.run(['digest', `${locked.host}/app:1`, ...args], { env });
  assert.equal(status, 4, stderr);
  assert.match(stderr, /\[ERR_DENIED\]/);
  assert.doesNotMatch(stderr, /wr0ng|d3Iwbmc/);
  return stderr;
}

async function put(name: string, content: string, mode = 0o600): Promise<string> {
  const path = join(home.path, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
  await chmod(path, mode);
  return path;
}

const auth = Buffer.from('anna:wr0ng').toString('base64');

describe('a refusal names the credentials that were sent, and where they came from', { concurrency: 3 }, () => {
  for (const [from, args, env] of [
    ['--creds', ['--creds=anna:wr0ng'], {}],
    ['--username', ['--username=anna', '--password=wr0ng'], {}],
    ['IMGCOPY_CREDS', [], { IMGCOPY_CREDS: 'anna:wr0ng' }],
  ] as const) {
    test(`from ${from}`, async () => {
      const stderr = await refusalOf(args, env);
      assert.match(stderr, new RegExp(`: 401.*; credentials sent: user anna, from ${from}\\n`));
      assert.match(stderr, /hint: check the user name and password/);
    });
  }

  test('from a file', async () => {
    const file = await put('auth.json', JSON.stringify({ auths: { [locked.host]: { auth } } }));
    const stderr = await refusalOf(['--authfile', file]);
    assert.ok(stderr.includes(`credentials sent: user anna, from ${file}\n`), stderr);
    assert.match(stderr, /hint: .*log in again with imgcopy login 127\.0\.0\.1:/);
  });

  test('from a helper', async () => {
    await put('bin/docker-credential-old', `#!/bin/sh\necho '{"Username":"anna","Secret":"wr0ng"}'\n`, 0o755);
    const file = await put('helper.json', JSON.stringify({ credHelpers: { [locked.host]: 'old' } }));
    const stderr = await refusalOf(['--authfile', file], { PATH: `${home.path}/bin:${process.env['PATH']}` });
    assert.ok(stderr.includes(`credentials sent: user anna, from docker-credential-old (named in ${file})\n`), stderr);
  });

  test('none, and which files were read', async () => {
    const file = await put('other.json', JSON.stringify({ auths: { 'other.test': { auth } } }));
    const stderr = await refusalOf(['--authfile', file]);
    assert.ok(stderr.includes(`no credentials sent: none for ${locked.host} in ${file}\n`), stderr);
    assert.match(stderr, /hint: log in with imgcopy login 127\.0\.0\.1:\d+, or give --creds/);
  });

  test('none, with the words of the helper that failed', async () => {
    await put('bin/docker-credential-sad', '#!/bin/sh\necho "session expired, run acme login" >&2\nexit 1\n', 0o755);
    const file = await put('sad.json', JSON.stringify({ credHelpers: { [locked.host]: 'sad' } }));
    const stderr = await refusalOf(['--authfile', file], { PATH: `${home.path}/bin:${process.env['PATH']}` });
    assert.match(stderr, /: 401.*no credentials sent: .*docker-credential-sad: .*session expired, run acme login/);
    assert.match(stderr, /hint: fix the credential helper, or give --creds/);
  });

  test('none, because of --no-creds', async () => {
    const stderr = await refusalOf(['--no-creds']);
    assert.match(stderr, /no credentials sent: --no-creds was given\n {2}hint: leave out --no-creds/);
  });

  test('for the destination, from its own option or variable', async () => {
    await using source = await startRegistry();
    source.seed('app', '1', buildImage({ layers: [] }));
    const copy = ['-q', `${source.host}/app:1`, `${locked.host}/copy:1`];
    for (const [from, args, env] of [
      ['--dest-creds', ['--dest-creds=anna:wr0ng'], {}],
      ['IMGCOPY_DEST_CREDS', [], { IMGCOPY_DEST_CREDS: 'anna:wr0ng' }],
    ] as const) {
      const { status, stderr } = await home.run([...copy, ...args], { env });
      assert.equal(status, 4, stderr);
      assert.match(stderr, new RegExp(`destination: .*: 401.*; credentials sent: user anna, from ${from}\\n`));
      assert.doesNotMatch(stderr, /wr0ng|d3Iwbmc/);
    }
    const { stderr } = await home.run(copy);
    assert.match(stderr, /destination: .*no credentials sent: .*\n {2}hint: log in with imgcopy login .*--dest-creds/);
  });
});
