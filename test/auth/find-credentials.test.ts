import assert from 'node:assert/strict';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { AuthFileError } from '../../src/auth/auth-file.ts';
import { findCredentials } from '../../src/auth/find-credentials.ts';
import { entryFor, makeAuthHome } from './auth-home.ts';

/** The user that is found, or the token of an identity or registry token. */
async function whoIsFound(options: Parameters<typeof findCredentials>[0]): Promise<string | undefined> {
  const { credentials } = await findCredentials(options);
  return credentials?.kind === 'basic' ? credentials.username : credentials?.token;
}

test('the files are searched in the order of podman, then docker (behaviour 47)', async (t) => {
  const home = await makeAuthHome(t);
  const { env } = home.environment;
  const order = [
    'DOCKER_AUTH_CONFIG',
    'run/containers/auth.json',
    '.config/containers/auth.json',
    '.docker/config.json',
    '.dockercfg',
  ];
  env['DOCKER_AUTH_CONFIG'] = JSON.stringify({ auths: { 'reg.test': entryFor('DOCKER_AUTH_CONFIG') } });
  for (const file of order.slice(1, -1)) await home.write(file, { auths: { 'reg.test': entryFor(file) } });
  await home.write('.dockercfg', { 'https://reg.test/v1/': entryFor('.dockercfg') });
  const search = (): Promise<string | undefined> => whoIsFound({ ...home.environment, registry: 'reg.test' });
  for (const file of order) {
    assert.equal(await search(), file);
    if (file === 'DOCKER_AUTH_CONFIG') delete env['DOCKER_AUTH_CONFIG'];
    else await home.write(file, file === '.dockercfg' ? { 'reg.test': {} } : { auths: { 'reg.test': {} } });
  }
  assert.equal(await search(), undefined);
});

const places: readonly {
  readonly file: string;
  readonly env?: Record<string, string>;
  readonly platform?: NodeJS.Platform;
}[] = [
  { file: 'elsewhere/containers/auth.json', env: { XDG_CONFIG_HOME: 'elsewhere' } },
  { file: 'elsewhere/config.json', env: { DOCKER_CONFIG: 'elsewhere' } },
  { file: '.config/containers/auth.json', env: { XDG_CONFIG_HOME: 'elsewhere' }, platform: 'darwin' },
];

for (const { file, env = {}, platform = 'linux' } of places) {
  test(`${file} is searched on ${platform} with ${JSON.stringify(env)}`, async (t) => {
    const home = await makeAuthHome(t);
    await home.write(file, { auths: { 'reg.test': entryFor('anna') } });
    const absolute = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, join(home.path, value)]));
    const environment = { ...home.environment, env: { ...home.environment.env, ...absolute }, platform };
    assert.equal(await whoIsFound({ ...environment, registry: 'reg.test' }), 'anna');
  });
}

test('a file that the user names is the only one searched', async (t) => {
  const home = await makeAuthHome(t);
  home.environment.env['DOCKER_AUTH_CONFIG'] = JSON.stringify({ auths: { 'reg.test': entryFor('inline') } });
  await home.write('run/containers/auth.json', { auths: { 'reg.test': entryFor('usual') } });
  const empty = await home.write('empty.json', '');
  assert.equal(await whoIsFound({ ...home.environment, registry: 'reg.test', authFile: empty }), undefined);
  home.environment.env['REGISTRY_AUTH_FILE'] = await home.write('mine.json', {
    auths: { 'reg.test': entryFor('mine') },
  });
  assert.equal(await whoIsFound({ ...home.environment, registry: 'reg.test' }), 'mine');
  assert.equal(await whoIsFound({ ...home.environment, registry: 'reg.test', authFile: empty }), undefined);
});

const garbage: readonly { readonly content: string; readonly problem: RegExp }[] = [
  { content: '{"auths":{"reg.test":{"auth":"c2VjcmV0"}}', problem: /expected JSON/ },
  { content: 'c2VjcmV0', problem: /expected JSON/ },
  { content: '["c2VjcmV0"]', problem: /expected a JSON object/ },
  { content: '{"auths":"c2VjcmV0"}', problem: /expected "auths" to be an object/ },
];

/** Checks for an error that names the file and the problem, and nothing of the content. */
function namesOnly(name: string, problem: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof AuthFileError);
    assert.deepEqual([error.code, error.kind, error.cause], ['ERR_AUTH_FILE', 'usage', undefined]);
    assert.ok(error.message.includes(name));
    assert.match(error.message, problem);
    assert.ok(!String(error.stack).includes('c2VjcmV0'));
    return true;
  };
}

for (const { content, problem } of garbage) {
  test(`the auth file ${content} is an error that names the file and not its content, wherever it is`, async (t) => {
    const home = await makeAuthHome(t);
    const options = { ...home.environment, registry: 'reg.test' };
    const authFile = await home.write('mine.json', content);
    await assert.rejects(findCredentials({ ...options, authFile }), namesOnly(authFile, problem));
    await assert.rejects(
      findCredentials({ ...options, env: { DOCKER_AUTH_CONFIG: content } }),
      namesOnly('DOCKER_AUTH_CONFIG', problem),
    );
    const usual = await home.write('.docker/config.json', content);
    await assert.rejects(findCredentials(options), namesOnly(usual, problem));
  });
}

test('a named file that is not there, or a directory in its place, is an error', async (t) => {
  const home = await makeAuthHome(t);
  const options = { ...home.environment, registry: 'reg.test' };
  await assert.rejects(findCredentials({ ...options, authFile: join(home.path, 'none') }), {
    code: 'ERR_AUTH_FILE',
    message: `auth file ${home.path}/none: cannot be read (ENOENT)`,
  });
  await assert.rejects(findCredentials({ ...options, authFile: home.path }), /cannot be read \(EISDIR\)/);
});

test('a directory in the place of a usual file is ignored with a warning, as docker leaves one behind', async (t) => {
  const home = await makeAuthHome(t);
  await home.write('.dockercfg', { 'reg.test': entryFor('anna') });
  await mkdir(join(home.path, '.docker/config.json'), { recursive: true });
  const warnings: string[] = [];
  const options = { ...home.environment, registry: 'reg.test', onWarning: (text: string) => warnings.push(text) };
  assert.equal(await whoIsFound(options), 'anna');
  assert.match(warnings.join('\n'), /^auth file .*config\.json is ignored: it is a directory$/);
});

test(
  'a usual file that belongs to somebody else is ignored with a warning',
  { skip: process.getuid?.() === 0 && 'root reads every file' },
  async (t) => {
    const home = await makeAuthHome(t);
    await home.write('.dockercfg', { 'reg.test': entryFor('anna') });
    await chmod(await home.write('.docker/config.json', {}), 0);
    const warnings: string[] = [];
    const options = { ...home.environment, registry: 'reg.test', onWarning: (text: string) => warnings.push(text) };
    assert.equal(await whoIsFound(options), 'anna');
    assert.match(warnings.join('\n'), /^auth file .*config\.json is ignored: it cannot be read \(EACCES\)$/);
  },
);

test('an entry that is not user:password is ignored with a warning that does not quote it', async (t) => {
  const home = await makeAuthHome(t);
  const broken = Buffer.from('secret without colon').toString('base64');
  await home.write('run/containers/auth.json', { auths: { 'reg.test': { auth: broken } } });
  await home.write('.docker/config.json', { auths: { 'reg.test': entryFor('anna') } });
  const warnings: string[] = [];
  const options = { ...home.environment, registry: 'reg.test', onWarning: (text: string) => warnings.push(text) };
  assert.equal(await whoIsFound(options), 'anna');
  assert.match(warnings.join('\n'), /^auth file .*auth\.json: the entry reg\.test is ignored/);
  assert.ok(!warnings.join().includes(broken));
});
