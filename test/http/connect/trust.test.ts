import assert from 'node:assert/strict';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { test, type TestContext } from 'node:test';
import { once } from 'node:events';
import type { SecureContext } from 'node:tls';
import { Trust, type TrustOptions } from '../../../src/http/connect/trust.ts';
import { writeAuthority, writeCertificates } from '../../support/certificate-files.ts';
import { selfSignedCertificate } from '../../support/certificate.ts';
import { serveTls, type SeenTls } from '../../support/http-servers.ts';

const server = selfSignedCertificate(['127.0.0.1']);
const other = selfSignedCertificate(['other.test']);
const mine = selfSignedCertificate(['client.test']);
const nothing = { files: [], directories: [] };

interface Machine extends TrustOptions {
  readonly warnings: readonly string[];
}

async function openMachine(t: TestContext, files: Readonly<Record<string, string>> = {}): Promise<Machine> {
  const folder = await writeCertificates(t, { 'home/note.txt': '', ...files });
  const warnings: string[] = [];
  return {
    env: {},
    homeDir: join(folder, 'home'),
    onWarning: (warning) => void warnings.push(warning),
    system: nothing,
    certsD: [join(folder, 'etc/containers/certs.d'), join(folder, 'etc/docker/certs.d')],
    warnings,
  };
}

/** Whether a context accepts the server's certificate, and which certificate the server is shown. */
async function meet(
  context: SecureContext | undefined,
  { port, handshakes }: SeenTls,
): Promise<{ readonly accepted: boolean; readonly shown: boolean }> {
  const socket = connect({ host: '127.0.0.1', port, secureContext: context, rejectUnauthorized: false });
  await once(socket, 'session');
  const accepted = socket.authorized;
  socket.destroy();
  return { accepted, shown: handshakes.at(-1)?.client !== undefined };
}

async function startServer(t: TestContext): Promise<SeenTls> {
  return await serveTls(t, { ...server, requestCert: true, rejectUnauthorized: false });
}

const places = {
  "the user's": 'home/.config/containers/certs.d',
  "containers'": 'etc/containers/certs.d',
  "docker's": 'etc/docker/certs.d',
};
for (const [whose, place] of Object.entries(places)) {
  test(`finds authorities and client certificates by host and port in ${whose} certs.d`, async (t) => {
    const seen = await startServer(t);
    const folder = `${place}/registry.test:5000`;
    const files = { 'ca.crt': server.cert, 'a.cert': mine.cert, 'a.key': mine.key };
    const named = Object.fromEntries(Object.entries(files).map(([name, text]) => [`${folder}/${name}`, text]));
    const trust = new Trust(await openMachine(t, named));
    const found = await trust.of('registry.test:5000', {}).own();
    assert.equal(found.length, 1);
    assert.deepEqual(await meet(found[0], seen), { accepted: true, shown: true });
    const [unknown] = await trust.of('registry.test', {}).own();
    assert.deepEqual(await meet(unknown, seen), { accepted: false, shown: false });
  });
}

test('reads the first of the directories that is there, and no other', async (t) => {
  const seen = await startServer(t);
  const machine = await openMachine(t, {
    'etc/containers/certs.d/registry.test/ca.crt': other.cert,
    'etc/docker/certs.d/registry.test/ca.crt': server.cert,
  });
  const [context] = await new Trust(machine).of('registry.test', {}).own();
  assert.equal((await meet(context, seen)).accepted, false);
  const certDir = await writeCertificates(t, { 'ca.crt': server.cert });
  const [named] = await new Trust(machine).of('registry.test', { certDir }).own();
  assert.equal((await meet(named, seen)).accepted, true);
});

test('trusts what the registry trusts for what it names, and shows no certificate there', async (t) => {
  const seen = await startServer(t);
  const certDir = await writeCertificates(t, { 'ca.crt': server.cert, 'a.cert': mine.cert, 'a.key': mine.key });
  const trust = new Trust(await openMachine(t)).of('registry.test', { certDir });
  assert.deepEqual(await meet(await trust.others(), seen), { accepted: true, shown: false });
});

test('makes one context of one set of authorities, for all registries', async (t) => {
  const trust = new Trust(await openMachine(t));
  const caFile = await writeAuthority(t, server.cert);
  const contexts = await Promise.all([
    trust.of('a.test', {}).own(),
    trust.of('b.test', {}).own(),
    trust.of('b.test', { caFile }).own(),
    trust.of('c.test', { caFile }).own(),
    trust.of('c.test', { verify: false }).own(),
    trust.of('d.test', { verify: false, caFile }).own(),
  ]);
  const [a, b, c, d, e, f] = contexts.map(([context]) => context);
  assert.deepEqual([a === b, c === d, e === f], [true, true, true]);
  assert.equal(new Set([a, c, e]).size, 3);
});

test('reads nothing before it is asked for a context, and no authorities where none are checked', async (t) => {
  const machine = await openMachine(t);
  const env = { ...machine.env, SSL_CERT_FILE: '/nonexistent/ca.pem' };
  const trust = new Trust({ ...machine, env });
  await trust.of('registry.test', { verify: false }).own();
  const checked = trust.of('registry.test', {});
  assert.deepEqual(machine.warnings, []);
  await checked.own();
  await trust.of('other.test', {}).own();
  assert.equal(machine.warnings.length, 1);
});

test('warns of what it cannot use in a directory that it found, and continues without it', async (t) => {
  const folder = 'etc/docker/certs.d/registry.test';
  const machine = await openMachine(t, {
    [`${folder}/alone.cert`]: mine.cert,
    [`${folder}/mixed.cert`]: mine.cert,
    [`${folder}/mixed.key`]: other.key,
    [`${folder}/good.cert`]: mine.cert,
    [`${folder}/good.key`]: mine.key,
    [`${folder}/folder.crt/x`]: '',
  });
  assert.equal((await new Trust(machine).of('registry.test', {}).own()).length, 1);
  assert.match(machine.warnings.join('\n'), /alone\.key is missing[^]*mixed\.cert and its key cannot be used/);
});

test('warns of a key that it cannot read', async (t) => {
  const certsD = await writeCertificates(t, { 'registry.test/a.cert': mine.cert });
  await symlink('/nonexistent/a.key', join(certsD, 'registry.test/a.key'));
  const machine = await openMachine(t);
  await new Trust({ ...machine, certsD: [certsD] }).of('registry.test', {}).own();
  assert.match(machine.warnings.join('\n'), /cannot read .*a\.key/);
});

const mistakes: readonly [what: string, files: Readonly<Record<string, string>>, message: RegExp][] = [
  ['a certificate without its key', { 'a.cert': mine.cert }, /a\.key is missing/],
  ['a key without its certificate', { 'a.key': mine.key }, /a\.cert is missing/],
  ['a key of another certificate', { 'a.cert': mine.cert, 'a.key': other.key }, /a\.cert and its key cannot be used/],
];
for (const [what, files, message] of mistakes) {
  test(`fails where a directory that was named holds ${what}`, async (t) => {
    const certDir = await writeCertificates(t, files);
    const trust = new Trust(await openMachine(t)).of('registry.test', { certDir });
    await assert.rejects(trust.own(), { code: 'ERR_CERT_DIR', kind: 'usage', message });
  });
}

test('fails where a file of authorities is missing, holds none, or one that is broken', async (t) => {
  const machine = await openMachine(t);
  const broken = server.cert.replace(/^MI/m, 'AA');
  for (const [caFile, message] of [
    ['/nonexistent/ca.pem', /cannot read/],
    [await writeAuthority(t, server.key), /does not contain a PEM certificate/],
    [await writeAuthority(t, broken), /contains an invalid certificate/],
  ] as const) {
    const trust = new Trust(machine).of('registry.test', { caFile });
    await assert.rejects(trust.own(), { code: 'ERR_CERT_FILE', kind: 'usage', message });
  }
});

test("trusts Node.js' own authorities where the system has none, and those that are added", async (t) => {
  const seen = await startServer(t);
  const caFile = await writeAuthority(t, server.cert);
  const [context] = await new Trust(await openMachine(t)).of('registry.test', { caFile }).own();
  assert.equal((await meet(context, seen)).accepted, true);
});
