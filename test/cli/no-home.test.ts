import assert from 'node:assert/strict';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildImage } from '../support/images.ts';
import { runImgcopy } from '../support/imgcopy-command.ts';
import { startRegistry } from '../support/registry.ts';
import { assertHoldsOnly } from '../transports/dir/image-directory.ts';
import { skip, STRANGER, workingDirectory } from './stranger.ts';

const image = buildImage({ layers: { count: 2, size: 2_000 } });

for (const HOME of ['', 'relative']) {
  test(`HOME=${HOME} is not a home: the copy runs, and writes nothing into the working directory`, async (t) => {
    await using registry = await startRegistry();
    registry.seed('app', '1', image);
    const cwd = await workingDirectory(t);
    for (const destination of [`${registry.host}/copy:1`, 'dir:out']) {
      const { status, stderr } = await runImgcopy(['-q', `${registry.host}/app:1`, destination], {
        env: { HOME },
        cwd,
      });
      assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
    }
    assert.deepEqual(await readdir(cwd), ['out']);
    await assertHoldsOnly(join(cwd, 'out'), image);
  });
}

test('a user without any home copies all the same, with credentials of a variable', { skip }, async (t) => {
  await using registry = await startRegistry({ auth: { kind: 'bearer', username: 'bob', password: 's3cret' } });
  registry.seed('app', '1', image);
  const cwd = await workingDirectory(t);
  const auths = { [registry.host]: { auth: Buffer.from('bob:s3cret').toString('base64') } };
  const env = { DOCKER_AUTH_CONFIG: JSON.stringify({ auths }) };
  for (const destination of [`${registry.host}/copy:1`, 'dir:out']) {
    const { status, stderr } = await runImgcopy(['-q', `${registry.host}/app:1`, destination], {
      env,
      cwd,
      uid: STRANGER,
    });
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
  }
  await assertHoldsOnly(join(cwd, 'out'), image);
});

test('commands that need a place say that there is none', { skip }, async (t) => {
  await using registry = await startRegistry();
  const cwd = await workingDirectory(t);
  const cache = await runImgcopy(['cache', 'path'], { env: {}, cwd, uid: STRANGER });
  assert.equal(cache.status, 2);
  assert.match(cache.stderr, /no home directory\n {2}hint: set XDG_CACHE_HOME .*\[ERR_NO_HOME\]/);
  const login = await runImgcopy(['login', '-u', 'bob', '-p', 'x', registry.host], { env: {}, cwd, uid: STRANGER });
  assert.equal(login.status, 2, login.stderr);
  assert.match(login.stderr, /no home directory\n {2}hint: .*--authfile.*\[ERR_NO_HOME\]/);
});

const unopened: readonly (readonly [string, readonly string[], Readonly<Record<string, string>>, RegExp])[] = [
  ['a proxy that is no URL', [], { HTTPS_PROXY: 'http://[bad' }, /URL|proxy/i],
  [
    'an authority that is missing behind a proxy',
    ['--src-ca-file=missing.pem'],
    { HTTPS_PROXY: 'http://127.0.0.1:1' },
    /missing\.pem/,
  ],
];

for (const [what, options, variables, tells] of unopened) {
  test(`${what} is reported, and not that closing failed as well`, async (t) => {
    const cwd = await workingDirectory(t);
    await mkdir(join(cwd, 'home'));
    const env = { HOME: join(cwd, 'home'), ...variables };
    const { status, stderr } = await runImgcopy(['-q', ...options, 'registry.test/app:1', 'dir:out'], { env, cwd });
    assert.notEqual(status, 0);
    assert.match(stderr, tells);
    assert.doesNotMatch(stderr, /suppressed/i);
  });
}
