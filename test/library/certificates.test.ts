import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { EndpointOptions } from '../../src/index.ts';
import { selfSignedCertificate } from '../support/certificate.ts';
import { buildImage } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { at, openHome, TestCopier, type TestHome } from './test-copier.ts';

const image = buildImage({ layers: { count: 1, size: 1000 } });
const tls = selfSignedCertificate();
const other = selfSignedCertificate();

async function writeFiles(home: TestHome, folder: string, files: Readonly<Record<string, string>>): Promise<string> {
  const directory = join(home.path, folder);
  await mkdir(directory, { recursive: true });
  for (const [name, content] of Object.entries(files)) await writeFile(join(directory, name), content);
  return directory;
}

interface Trust {
  readonly endpoint?: EndpointOptions;
  readonly env?: Readonly<Record<string, string>>;
}

const trusts: Readonly<Record<string, (home: TestHome) => Promise<Trust>>> = {
  'a file of authorities': async (home) => ({
    endpoint: { caFile: join(await writeFiles(home, 'ca', { 'ca.pem': tls.cert }), 'ca.pem') },
  }),
  'a directory of certificates': async (home) => ({
    endpoint: { certDir: await writeFiles(home, 'certs', { 'ca.crt': tls.cert, 'note.txt': 'no certificate' }) },
  }),
  SSL_CERT_FILE: async (home) => ({
    env: { SSL_CERT_FILE: join(await writeFiles(home, 'ca', { 'ca.pem': tls.cert }), 'ca.pem') },
  }),
  'SSL_CERT_DIR, not all of whose directories are there': async (home) => ({
    env: {
      SSL_CERT_DIR: `${home.path}/missing:${await writeFiles(home, 'a', {})}:${await writeFiles(home, 'b', { 'ca.pem': tls.cert })}`,
      SSL_CERT_FILE: `${home.path}/missing.pem`,
    },
  }),
  'no check at all': async () => ({ endpoint: { tlsVerify: false } }),
};
for (const [what, trustOf] of Object.entries(trusts)) {
  test(`reaches a registry over TLS by ${what}`, async (t) => {
    const home = await openHome(t);
    const { endpoint, env } = await trustOf(home);
    await using from = await startRegistry({ tls });
    await using to = await startRegistry();
    await using copier = new TestCopier(home, { env: { ...home.env, ...env } });
    from.seed('app', 'v1', image);
    await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { source: endpoint });
    assert.deepEqual(to.manifest('copy', 'v1'), image.manifest);
  });
}

test('shows a client certificate where there is one', async (t) => {
  const home = await openHome(t);
  await using from = await startRegistry({
    tls: { ...tls, ca: other.cert, requestCert: true, rejectUnauthorized: true },
  });
  await using to = await startRegistry();
  await using copier = new TestCopier(home);
  from.seed('app', 'v1', image);
  const files = { 'ca.crt': tls.cert, 'client.cert': other.cert, 'client.key': other.key };
  const source = { certDir: await writeFiles(home, 'certs', files) };
  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { source });
  assert.deepEqual(to.tags('copy'), ['v1']);
});

test('does not talk to a registry whose certificate it cannot check', async (t) => {
  await using from = await startRegistry({ tls });
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t), { retryTimes: 0 });
  from.seed('app', 'v1', image);
  await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { source: {} }), {
    code: 'ERR_TLS_CERTIFICATE',
    side: 'source',
  });
  assert.equal(from.count(), 0);
});

const mistakes: Readonly<Record<string, (home: TestHome) => Promise<{ endpoint: EndpointOptions; code: string }>>> = {
  'a file of authorities that is not there': async (home) => ({
    endpoint: { caFile: `${home.path}/missing.pem` },
    code: 'ERR_CERT_FILE',
  }),
  'a directory that is not there': async (home) => ({
    endpoint: { certDir: `${home.path}/missing` },
    code: 'ERR_CERT_DIR',
  }),
  'a certificate without its key': async (home) => ({
    endpoint: { certDir: await writeFiles(home, 'certs', { 'client.cert': other.cert }) },
    code: 'ERR_CERT_DIR',
  }),
};
for (const [what, mistake] of Object.entries(mistakes)) {
  test(`says that it was given ${what}`, async (t) => {
    const home = await openHome(t);
    const { endpoint, code } = await mistake(home);
    await using from = await startRegistry({ tls });
    await using to = await startRegistry();
    await using copier = new TestCopier(home, { retryTimes: 0 });
    from.seed('app', 'v1', image);
    const copy = copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { source: endpoint });
    await assert.rejects(copy, { code, kind: 'usage' });
  });
}

test('certificates that are not checked for a registry are not checked for what it names either, and else they are', async (t) => {
  const home = await openHome(t);
  await using tokens = await startRegistry({ tls: other, auth: { kind: 'bearer' } });
  await using from = await startRegistry({ tls, redirectBlobs: true });
  await using to = await startRegistry();
  await using copier = new TestCopier(home);
  from.seed('app', 'v1', image);
  const headers = { 'www-authenticate': `Bearer realm="${tokens.url}/token",service="tokens"` };
  from.behave({ match: { path: /manifests/, times: 2 }, status: 401, headers });

  const caFile = join(await writeFiles(home, 'ca', { 'ca.pem': tls.cert }), 'ca.pem');
  const checked = copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { source: { caFile } });
  await assert.rejects(checked, { code: 'ERR_TLS_CERTIFICATE' });
  assert.equal(tokens.tokens.length, 0);

  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { source: { tlsVerify: false } });
  assert.equal(tokens.tokens.length, 1);
  assert.ok(from.requests.some(({ path }) => path.startsWith('/storage/')));
  assert.deepEqual(to.manifest('copy', 'v1'), image.manifest);
});
