import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { digestOf } from '../../src/digest/digest.ts';
import type { CopierOptions, EndpointOptions } from '../../src/index.ts';
import { selfSignedCertificate } from '../support/certificate.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startRegistry, type RegistryOptions, type TestRegistry } from '../support/registry.ts';
import { registryTable, writeRegistriesConf } from '../support/registries-conf.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const layer = randomBytes('mirror endpoints', 2000);
const image = buildImage({ layers: [layer] });
const NAME = 'origin.test/app:v1';
const tls = selfSignedCertificate();
const BASIC = { kind: 'basic', username: 'ann', password: 'secret' } as const;

async function start(t: TestContext, options: RegistryOptions = {}): Promise<TestRegistry> {
  const registry = await startRegistry(options);
  t.after(() => registry[Symbol.asyncDispose]());
  registry.seed('app', 'v1', image);
  return registry;
}

interface CopierSettings extends CopierOptions {
  readonly conf?: string;
  readonly auths?: Readonly<Record<string, string>>;
}

/** A copier on a machine with this registries.conf, and these credentials (`user:password`) in an auth file. */
async function openCopier(
  t: TestContext,
  { conf = '', auths = {}, env = {}, ...options }: CopierSettings,
): Promise<TestCopier> {
  const home = await openHome(t);
  const authFile = join(home.path, 'auth.json');
  const entries = Object.entries(auths).map(([host, user]) => [host, { auth: Buffer.from(user).toString('base64') }]);
  await writeFile(authFile, JSON.stringify({ auths: Object.fromEntries(entries) }));
  const configured = await writeRegistriesConf(t, conf);
  const variables = { ...home.env, ...configured.env, REGISTRY_AUTH_FILE: authFile, ...env };
  const copier = new TestCopier(
    { ...home, env: variables },
    { endpoint: { plainHttp: undefined }, ...options, env: variables },
  );
  t.after(() => copier[Symbol.asyncDispose]());
  return copier;
}

/** Copies the image away, and says which registries gave its blobs. */
async function servedFrom(
  t: TestContext,
  copier: TestCopier,
  { name = NAME, source }: { readonly name?: string; readonly source?: EndpointOptions } = {},
): Promise<readonly string[]> {
  const to = await startRegistry();
  t.after(() => to[Symbol.asyncDispose]());
  const result = await copier.copy(name, at(to, 'copy:v1'), source === undefined ? {} : { source });
  assert.equal(to.manifest('copy', 'v1')?.digest, image.manifest.digest);
  return result.servedFrom.filter(({ blobs }) => blobs > 0).map(({ address }) => address.replace(/\/.*/, ''));
}

test('a mirror does not get the credentials that were given for the source', async (t) => {
  const [mirror, origin] = [await start(t, { auth: BASIC }), await start(t, { auth: BASIC })];
  const copier = await openCopier(t, { conf: registryTable(origin.host, origin.host, [mirror.host]) });
  const source = { username: 'ann', password: 'secret' };
  assert.deepEqual(await servedFrom(t, copier, { name: at(origin, 'app:v1'), source }), [origin.host]);
  assert.ok(mirror.count() > 0);
  assert.ok(mirror.requests.every(({ authorization }) => !authorization));
});

test('neither does the place that stands for the name, where that is another host', async (t) => {
  const origin = await start(t, { auth: BASIC });
  const copier = await openCopier(t, { conf: registryTable('origin.test', origin.host) });
  const source = { username: 'ann', password: 'secret' };
  await assert.rejects(servedFrom(t, copier, { source }), { kind: 'denied' });
  assert.ok(origin.requests.every(({ authorization }) => !authorization));
});

test('each address gets its own credentials from the auth file, and no others (behaviour 56)', async (t) => {
  const [mirror, origin] = [await start(t, { auth: BASIC }), await start(t, { auth: BASIC })];
  const conf = registryTable('origin.test', origin.host, [mirror.host]);
  const own = await openCopier(t, { conf, auths: { [mirror.host]: 'ann:secret' } });
  assert.deepEqual(await servedFrom(t, own), [mirror.host]);
  const before = mirror.count();
  const other = await openCopier(t, { conf, auths: { [origin.host]: 'ann:secret', 'origin.test': 'ann:secret' } });
  assert.deepEqual(await servedFrom(t, other), [origin.host]);
  assert.ok(mirror.requests.slice(before).every(({ authorization }) => !authorization));
});

test('credential-helpers are asked in their order, the auth files where their name stands', async (t) => {
  const origin = await start(t, { auth: BASIC });
  const folder = (await openHome(t)).path;
  const helper = join(folder, 'docker-credential-fixed');
  await writeFile(helper, '#!/bin/sh\ncat >/dev/null\necho \'{"Username":"ann","Secret":"secret"}\'\n');
  await chmod(helper, 0o755);
  const table = '[[registry]]\nlocation = "origin.test"\n';
  const env = { PATH: `${folder}:${process.env['PATH']}` };
  const name = at(origin, 'app:v1');
  const wrong = { [origin.host]: 'ann:wrong' };
  const first = await openCopier(t, {
    env,
    auths: wrong,
    conf: `credential-helpers = ["fixed", "containers-auth.json"]\n${table}`,
  });
  assert.deepEqual(await servedFrom(t, first, { name }), [origin.host]);
  const last = await openCopier(t, {
    env,
    auths: wrong,
    conf: `credential-helpers = ["containers-auth.json", "fixed"]\n${table}`,
  });
  await assert.rejects(servedFrom(t, last, { name }), { kind: 'denied' });
  const none = await openCopier(t, { env, conf: `credential-helpers = ["containers-auth.json", "fixed"]\n${table}` });
  assert.deepEqual(await servedFrom(t, none, { name }), [origin.host]);
});

test("a mirror's insecure holds for it alone", async (t) => {
  const [mirror, origin] = [await start(t, { tls }), await start(t, { tls })];
  const table = registryTable('origin.test', origin.host, [`${mirror.host}\ninsecure = true`]);
  assert.deepEqual(await servedFrom(t, await openCopier(t, { conf: table })), [mirror.host]);
  mirror.remove('app', 'v1');
  await assert.rejects(servedFrom(t, await openCopier(t, { conf: table })), { code: 'ERR_TLS_CERTIFICATE' });
  assert.equal(origin.count(), 0);
});

test('insecure of a registry holds for it as source and destination; --tls-verify goes before it', async (t) => {
  const registry = await start(t, { tls });
  const conf = `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\n`;
  const copier = await openCopier(t, { conf });
  const [from, to] = [at(registry, 'app:v1'), at(registry, 'copy:v1')];
  assert.equal((await copier.copy(from, to)).digest, image.manifest.digest);
  await assert.rejects(copier.copy(from, at(registry, 'copy:v2'), { source: { tlsVerify: true } }), {
    code: 'ERR_TLS_CERTIFICATE',
  });
});

for (const [when, actions] of [
  ['before its answer', { stall: true }],
  ['in the middle of a blob', { stallAfterBytes: 300 }],
] as const) {
  test(`a mirror that is silent ${when} gives way after --timeout, or ten seconds where that is longer`, async (t) => {
    const [mirror, origin] = [await start(t), await start(t)];
    const path = new RegExp(`blobs/${digestOf(layer)}`);
    mirror.behave({ match: { method: 'GET', path }, ...actions });
    const copier = await openCopier(t, {
      conf: registryTable('origin.test', origin.host, [mirror.host]),
      timeoutMs: 200,
    });
    assert.ok((await servedFrom(t, copier)).includes(origin.host));
    assert.equal(mirror.count({ method: 'GET', path }), 1);
    assert.equal(origin.count({ method: 'GET', path }), 1);
  });
}

/** A directory with this hosts.toml for origin.test, and files beside it. */
async function writeHosts(t: TestContext, text: string, files: Readonly<Record<string, string>> = {}): Promise<string> {
  const { path } = await openHome(t);
  const folder = join(path, 'origin.test');
  await mkdir(folder);
  await writeFile(join(folder, 'hosts.toml'), text);
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return path;
}

test('hosts.toml: a mirror by TLS with an authority of its own, told the name of the registry as ns', async (t) => {
  const mirror = await start(t, { tls });
  const hostsDir = await writeHosts(t, `[host."https://${mirror.host}"]\nca = "ca.crt"\n`, { 'ca.crt': tls.cert });
  assert.deepEqual(await servedFrom(t, await openCopier(t, { hostsDir })), [mirror.host]);
  assert.deepEqual(
    mirror.requests.filter(({ path }) => !path.endsWith('?ns=origin.test')),
    [],
  );
});

test('hosts.toml: a client certificate that the mirror asks for', async (t) => {
  const client = selfSignedCertificate(['client']);
  const mirror = await start(t, { tls: { ...tls, ca: client.cert, requestCert: true, rejectUnauthorized: true } });
  const host = `[host."https://${mirror.host}"]\nca = "ca.crt"\n`;
  const files = { 'ca.crt': tls.cert, 'client.cert': client.cert, 'client.key': client.key };
  const withClient = await writeHosts(t, `${host}client = [["client.cert", "client.key"]]\n`, files);
  assert.deepEqual(await servedFrom(t, await openCopier(t, { hostsDir: withClient })), [mirror.host]);
  const without = await writeHosts(t, `server = "http://127.0.0.1:1"\n${host}`, files);
  await assert.rejects(servedFrom(t, await openCopier(t, { hostsDir: without, retryTimes: 0 })));
});

test('hosts.toml: skip_verify, and a server in the place of the registry', async (t) => {
  const server = await start(t, { tls });
  const hostsDir = await writeHosts(t, `server = "https://${server.host}"\nskip_verify = true\n`);
  assert.deepEqual(await servedFrom(t, await openCopier(t, { hostsDir })), [server.host]);
});

test('hosts.toml: a mirror that may not resolve tags gives blobs, and the server the manifest', async (t) => {
  const [mirror, server] = [await start(t), await start(t)];
  const text = `server = "http://${server.host}"\n[host."http://${mirror.host}"]\ncapabilities = ["pull"]\n`;
  const hostsDir = await writeHosts(t, text);
  assert.deepEqual(await servedFrom(t, await openCopier(t, { hostsDir })), [mirror.host]);
  assert.equal(mirror.count({ path: /manifests\/v1/ }), 0);
  assert.equal(server.count({ path: /blobs/ }), 0);
});

test('hosts.toml: override_path is the path of the API', async (t) => {
  const mirror = await start(t);
  mirror.seed('upstream/app', 'v1', image);
  const text = `[host."http://${mirror.host}/v2/upstream"]\noverride_path = true\n`;
  const copier = await openCopier(t, { hostsDir: await writeHosts(t, text) });
  assert.deepEqual(await servedFrom(t, copier), [mirror.host]);
  assert.ok(mirror.requests.every(({ path }) => path.startsWith('/v2/upstream/app/')));
});

for (const count of [1, 2]) {
  test(`hosts that may not say what a tag means give an image by its digest, and not what refers to it by a tag (${count})`, async (t) => {
    const mirrors = await Promise.all(Array.from({ length: count }, () => start(t)));
    const hosts = mirrors.map(({ host }) => `[host."http://${host}"]\ncapabilities = ["pull"]\n`).join('');
    const copier = await openCopier(t, { hostsDir: await writeHosts(t, `capabilities = ["push"]\n${hosts}`) });
    const name = `origin.test/app@${image.manifest.digest}`;
    assert.deepEqual(await servedFrom(t, copier, { name }), [mirrors[0]?.host]);
    const copying = copier.copy(name, at(await start(t), 'copy:v1'), { referrers: true });
    await assert.rejects(copying, { code: 'ERR_HOSTS_TOML', kind: 'usage' });
    const byType = await copier.copy(name, at(await start(t), 'copy:v1'), { referrerTypes: ['application/*'] });
    assert.equal(byType.referrers?.total, 0);
  });
}

test('with hostsDir, registries.conf is not read', async (t) => {
  const [mirror, server] = [await start(t), await start(t)];
  const hostsDir = await writeHosts(t, `server = "http://${server.host}"\n`);
  const conf = registryTable('origin.test', 'origin.test', [mirror.host]);
  assert.deepEqual(await servedFrom(t, await openCopier(t, { hostsDir, conf })), [server.host]);
  assert.equal(mirror.count(), 0);
});
