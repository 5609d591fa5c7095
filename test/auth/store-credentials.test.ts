import assert from 'node:assert/strict';
import { lstat, readdir, readFile, stat, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { findCredentials } from '../../src/auth/find-credentials.ts';
import { removeCredentials, storeCredentials } from '../../src/auth/store-credentials.ts';
import { type AuthHome, entryFor, makeAuthHome } from './auth-home.ts';

const anna = { kind: 'basic', username: 'anna', password: 'a:b' } as const;
const annaEntry = { auth: Buffer.from('anna:a:b').toString('base64') };
const registry = 'reg.test:5000';

async function helperLog(home: AuthHome): Promise<readonly string[]> {
  return (await readFile(join(home.path, 'helper.log'), 'utf8')).trim().split('\n');
}

const targets: readonly { readonly name: string; readonly env: Record<string, string>; readonly file: string }[] = [
  { name: 'with a runtime directory', env: { XDG_RUNTIME_DIR: 'run' }, file: 'run/containers/auth.json' },
  { name: 'without a runtime directory', env: { XDG_RUNTIME_DIR: '' }, file: '.config/containers/auth.json' },
  {
    name: 'with a config directory',
    env: { XDG_RUNTIME_DIR: '', XDG_CONFIG_HOME: 'conf' },
    file: 'conf/containers/auth.json',
  },
  { name: 'with REGISTRY_AUTH_FILE', env: { REGISTRY_AUTH_FILE: 'mine.json' }, file: 'mine.json' },
];

for (const { name, env, file } of targets) {
  test(`login ${name} writes ${file}, readable by its owner alone, and logout undoes it`, async (t) => {
    const home = await makeAuthHome(t);
    for (const [key, value] of Object.entries(env)) home.environment.env[key] = value && join(home.path, value);
    const options = { ...home.environment, registry };
    const path = join(home.path, file);
    assert.equal(await storeCredentials({ ...options, credentials: anna }), path);
    assert.deepEqual(await home.read(file), { auths: { [registry]: annaEntry } });
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.deepEqual(
      await readdir(dirname(path)).then((names) => names.filter((other) => other.startsWith(file.slice(-9)))),
      [file.slice(-9)],
    );
    const { credentials, from } = await findCredentials(options);
    assert.deepEqual({ credentials, from }, { credentials: anna, from: path });
    assert.deepEqual(await removeCredentials(options), [path]);
    assert.deepEqual(await home.read(file), { auths: {} });
    assert.deepEqual(await removeCredentials(options), []);
  });
}

test('everything else in the file stays, other names of the registry go', async (t) => {
  const home = await makeAuthHome(t);
  const other = { 'other.test': entryFor('bob'), 'docker.io/me': entryFor('me') };
  const rest = { credHelpers: { 'helped.test': 'x' }, HttpHeaders: { a: 'b' } };
  const authFile = await home.write('auth.json', {
    ...rest,
    auths: { ...other, 'https://index.docker.io/v1/': entryFor('old'), 'registry-1.docker.io': entryFor('older') },
  });
  await storeCredentials({ ...home.environment, authFile, registry: 'docker.io', credentials: anna });
  assert.deepEqual(await home.read('auth.json'), { ...rest, auths: { ...other, 'docker.io': annaEntry } });
});

test("a file called config.json is docker's, which knows Docker Hub by another key", async (t) => {
  const home = await makeAuthHome(t);
  const authFile = join(home.path, 'docker/config.json');
  await storeCredentials({ ...home.environment, authFile, registry: 'docker.io', credentials: anna });
  assert.deepEqual(await home.read('docker/config.json'), { auths: { 'https://index.docker.io/v1/': annaEntry } });
});

test('an identity token is stored so that it is found again', async (t) => {
  const home = await makeAuthHome(t);
  const credentials = { kind: 'identity-token', token: 'idt', username: undefined } as const;
  await storeCredentials({ ...home.environment, registry, credentials });
  assert.deepEqual((await findCredentials({ ...home.environment, registry })).credentials, credentials);
});

test('a link to an auth file stays a link', async (t) => {
  const home = await makeAuthHome(t);
  await home.write('real.json', {});
  const authFile = join(home.path, 'link.json');
  await symlink('real.json', authFile);
  await storeCredentials({ ...home.environment, registry, authFile, credentials: anna });
  assert.ok((await lstat(authFile)).isSymbolicLink());
  assert.deepEqual(await home.read('real.json'), { auths: { [registry]: annaEntry } });
});

test("docker's credential store is used where there is one, and older entries no longer win", async (t) => {
  const home = await makeAuthHome(t);
  await home.installStore('safe');
  await home.write('.docker/config.json', { credsStore: 'safe', auths: { [registry]: {} } });
  await home.write('run/containers/auth.json', { auths: { [registry]: entryFor('old') } });
  const options = { ...home.environment, registry };
  assert.equal(await storeCredentials({ ...options, credentials: anna }), 'docker-credential-safe');
  assert.deepEqual(await home.read('run/containers/auth.json'), { auths: {} });
  assert.deepEqual((await findCredentials(options)).credentials, anna);
  assert.deepEqual(await removeCredentials(options), ['docker-credential-safe']);
  assert.deepEqual(await helperLog(home), [
    `store ${registry}`,
    `get ${registry}`,
    `get ${registry}`,
    `erase ${registry}`,
  ]);
  assert.equal((await findCredentials(options)).credentials, undefined);
});

test('the helper that the auth file names for a registry is used instead of the file', async (t) => {
  const home = await makeAuthHome(t);
  await home.installStore('safe');
  const authFile = await home.write('auth.json', { credHelpers: { [registry]: 'safe' } });
  const options = { ...home.environment, registry, authFile };
  assert.equal(await storeCredentials({ ...options, credentials: anna }), 'docker-credential-safe');
  assert.deepEqual(await home.read('auth.json'), { credHelpers: { [registry]: 'safe' } });
  assert.deepEqual((await findCredentials(options)).credentials, anna);
});

test('a helper that fails to store is an error, and nothing is written in the clear', async (t) => {
  const home = await makeAuthHome(t);
  await home.installHelper('safe', `cat >&2; echo 'keychain is locked'; exit 1`);
  await home.write('.docker/config.json', { credsStore: 'safe' });
  await assert.rejects(storeCredentials({ ...home.environment, registry, credentials: anna }), (error: Error) => {
    assert.equal(error.message, 'credential helper docker-credential-safe: store failed: keychain is locked');
    assert.ok(!JSON.stringify(error).includes('a:b') && error.cause === undefined);
    return true;
  });
  await assert.rejects(stat(join(home.path, 'run')), { code: 'ENOENT' });
});

test('logout removes from all usual files, and a missing helper is but a warning', async (t) => {
  const home = await makeAuthHome(t);
  const runtime = await home.write('run/containers/auth.json', { auths: { [registry]: entryFor('one') } });
  const docker = await home.write('.docker/config.json', {
    credsStore: 'missing',
    auths: { [`https://${registry}/v2/`]: entryFor('two'), 'other.test': entryFor('bob') },
  });
  const warnings: string[] = [];
  const options = { ...home.environment, registry, onWarning: (warning: string) => warnings.push(warning) };
  assert.deepEqual(await removeCredentials(options), [runtime, docker]);
  assert.deepEqual(await home.read('.docker/config.json'), {
    credsStore: 'missing',
    auths: { 'other.test': entryFor('bob') },
  });
  assert.match(warnings.join('\n'), /^credential helper docker-credential-missing: is not installed$/);
});

test('an auth file that is garbage is not overwritten', async (t) => {
  const home = await makeAuthHome(t);
  const authFile = await home.write('auth.json', '{"auths":');
  await assert.rejects(storeCredentials({ ...home.environment, registry, authFile, credentials: anna }), {
    code: 'ERR_AUTH_FILE',
  });
  assert.equal(await readFile(authFile, 'utf8'), '{"auths":');
});
