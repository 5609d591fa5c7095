import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { HELPER_TIMEOUT_MS } from '../../src/auth/credential-helper.ts';
import type { CredentialSearch } from '../../src/auth/credential-search.ts';
import { areCredentialsAtHand, findCredentials } from '../../src/auth/find-credentials.ts';
import { type AuthHome, entryFor, makeAuthHome } from './auth-home.ts';

/** Answers with the helper's own name and the server it was asked for. */
const ECHO = `read -r server; echo "$0 $server" >> "$HOME/helper.log"
echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"\${0##*/docker-credential-}\\",\\"Secret\\":\\"$server\\"}"`;

interface Search {
  readonly found: CredentialSearch;
  readonly warnings: readonly string[];
}

async function search(home: AuthHome, registry: string, helperTimeoutMs?: number): Promise<Search> {
  const warnings: string[] = [];
  const onWarning = (warning: string): number => warnings.push(warning);
  const found = await findCredentials({ ...home.environment, registry, repository: 'app', onWarning, helperTimeoutMs });
  return { found, warnings };
}

const CONFIG = '.docker/config.json';

const asked: readonly {
  readonly config: object;
  readonly registry: string;
  readonly username: string;
  readonly server: string;
}[] = [
  {
    config: { credHelpers: { 'reg.test': 'one' }, auths: { 'reg.test/app': entryFor('plain') }, credsStore: 'two' },
    registry: 'reg.test',
    username: 'one',
    server: 'reg.test',
  },
  {
    config: { credHelpers: { 'docker.io': 'one' } },
    registry: 'registry-1.docker.io',
    username: 'one',
    server: 'docker.io',
  },
  {
    config: { credHelpers: { 'https://index.docker.io/v1/': 'one' } },
    registry: 'docker.io',
    username: 'one',
    server: 'https://index.docker.io/v1/',
  },
  {
    config: { auths: { 'reg.test': {} }, credsStore: 'two' },
    registry: 'reg.test',
    username: 'two',
    server: 'reg.test',
  },
  { config: { credsStore: 'two' }, registry: 'reg.test:5000', username: 'two', server: 'reg.test:5000' },
  { config: { credsStore: 'two' }, registry: 'docker.io', username: 'two', server: 'https://index.docker.io/v1/' },
];

for (const { config, registry, username, server } of asked) {
  test(`${JSON.stringify(config)} asks one helper alone, ${username}, for ${server} (behaviour 47)`, async (t) => {
    const home = await makeAuthHome(t);
    await home.installHelper('one', ECHO);
    await home.installHelper('two', ECHO);
    const path = await home.write(CONFIG, config);
    const { found, warnings } = await search(home, registry);
    assert.deepEqual(found, {
      credentials: { kind: 'basic', username, password: server },
      from: `docker-credential-${username} (named in ${path})`,
      searched: [],
      problems: [],
    });
    assert.deepEqual(warnings, []);
    const log = await readFile(join(home.path, 'helper.log'), 'utf8');
    assert.equal(log.trim().split('\n').length, 1);
  });
}

test('an entry with credentials goes before the credential store (behaviour 47)', async (t) => {
  const home = await makeAuthHome(t);
  await home.write(CONFIG, { auths: { 'reg.test': entryFor('plain') }, credsStore: 'missing' });
  const { found, warnings } = await search(home, 'reg.test');
  assert.equal(found.from, join(home.path, CONFIG));
  assert.deepEqual(warnings, []);
});

test('the user <token> of a helper means an identity token (behaviour 47)', async (t) => {
  const home = await makeAuthHome(t);
  await home.installHelper('one', `echo '{"Username":"<token>","Secret":"idt"}'`);
  await home.write(CONFIG, { credHelpers: { 'reg.test': 'one' } });
  assert.deepEqual((await search(home, 'reg.test')).found.credentials, { kind: 'identity-token', token: 'idt' });
});

const failures: readonly {
  readonly name: string;
  readonly script: string | undefined;
  readonly warning: RegExp;
  readonly timeoutMs?: number;
}[] = [
  {
    name: 'is not installed',
    script: undefined,
    warning: /^credential helper docker-credential-one: is not installed \(named in .*config\.json for reg\.test\)$/,
  },
  { name: 'fails', script: `echo 'keychain is locked'; exit 3`, warning: /get failed: keychain is locked/ },
  {
    name: 'fails with its reason on standard error',
    script: `echo >&2; echo 'session expired, run acme login' >&2; exit 1`,
    warning: /get failed: session expired, run acme login \(named/,
  },
  {
    name: 'fails with a reason on both',
    script: `echo 'no session'; echo 'run acme login' >&2; exit 1`,
    warning: /get failed: no session: run acme login \(named/,
  },
  {
    name: 'fails with a secret in its output',
    script: `echo '{"Secret":"hush"}'; exit 1`,
    warning: /get failed \(named/,
  },
  {
    name: 'knows nothing',
    script: `echo 'credentials not found in native keychain'; exit 1`,
    warning: /docker-credential-one, named in .*, has no credentials for reg\.test$/,
  },
  {
    name: 'answers nonsense',
    script: `echo 'hush'`,
    warning: /expected Username and Secret in JSON, found something else/,
  },
  { name: 'answers null', script: `echo null`, warning: /expected Username and Secret in JSON/ },
  { name: 'does not end', script: 'exec sleep 60', warning: /gave no answer within 100 ms/, timeoutMs: 100 },
  { name: 'prints without end', script: 'exec yes hush', warning: /printed more than 1048576 bytes/ },
];

for (const [name, answer] of [
  ['in lower case', '{"serverurl":"reg.test","username":"anna","secret":"p}w"}'],
  ['with text after it', '{"Username":"anna","Secret":"p}w"}\nA newer version of this helper is available {1.2}'],
] as const) {
  test(`an answer ${name} is read, as Go reads it`, async (t) => {
    const home = await makeAuthHome(t);
    const file = await home.write('answer', answer);
    await home.installHelper('one', `cat '${file}'`);
    await home.write(CONFIG, { credHelpers: { 'reg.test': 'one' } });
    const { found, warnings } = await search(home, 'reg.test');
    assert.deepEqual(found.credentials, { kind: 'basic', username: 'anna', password: 'p}w' });
    assert.deepEqual(warnings, []);
  });
}

test('a helper may take more than a minute, in which somebody logs in', () => {
  assert.ok(HELPER_TIMEOUT_MS >= 120_000);
});

for (const { name, script, warning, timeoutMs } of failures) {
  test(`a helper that ${name} is a warning, and the search continues (behaviour 47)`, async (t) => {
    const home = await makeAuthHome(t);
    if (script !== undefined) await home.installHelper('one', script);
    await home.write(CONFIG, { credHelpers: { 'reg.test': 'one' } });
    await home.write('.dockercfg', { 'reg.test': entryFor('anna') });
    const { found, warnings } = await search(home, 'reg.test', timeoutMs);
    assert.deepEqual(found.credentials, { kind: 'basic', username: 'anna', password: 'pw' });
    assert.deepEqual(found.problems, warnings);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', warning);
    assert.ok(!warnings[0]?.includes('hush'));
  });
}

test('a credential store that knows nothing of a registry nobody logged in to is not a warning', async (t) => {
  const home = await makeAuthHome(t);
  await home.installStore('two');
  await home.write(CONFIG, { credsStore: 'two' });
  const searched = [join(home.path, CONFIG)];
  assert.deepEqual(await search(home, 'reg.test'), { found: { searched, problems: [] }, warnings: [] });
});

test('a helper that is named by a path is not run', async (t) => {
  const home = await makeAuthHome(t);
  await home.write(CONFIG, { credsStore: '../bin/evil' });
  const { found, warnings } = await search(home, 'reg.test');
  assert.equal(found.credentials, undefined);
  assert.match(warnings.join(), /expected a name, found a path/);
});

test('an aborted search ends the helper and fails with the reason', async (t) => {
  const home = await makeAuthHome(t);
  await home.installHelper('one', 'exec sleep 60');
  await home.write(CONFIG, { credsStore: 'one' });
  const signal = AbortSignal.timeout(50);
  await assert.rejects(findCredentials({ ...home.environment, registry: 'reg.test', signal }), {
    name: 'TimeoutError',
  });
});

test('whether credentials are at hand is found out without starting a helper', async (t) => {
  const home = await makeAuthHome(t);
  await home.installHelper('one', ECHO);
  const options = { ...home.environment, registry: 'reg.test', repository: 'ns/app' };
  assert.equal(await areCredentialsAtHand(options), false);
  await home.write(CONFIG, { credHelpers: { 'reg.test': 'one' }, credsStore: 'one', auths: { 'reg.test': {} } });
  assert.equal(await areCredentialsAtHand(options), false);
  await home.write('.config/containers/auth.json', { auths: { 'reg.test/ns': entryFor('anna') } });
  assert.equal(await areCredentialsAtHand(options), true);
  await assert.rejects(readFile(join(home.path, 'helper.log')), { code: 'ENOENT' });
});
