import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { readAuthorities } from '../../../src/http/connect/authorities.ts';
import { writeCertificates } from '../../support/certificate-files.ts';
import { selfSignedCertificate } from '../../support/certificate.ts';

const names = ['system', 'system-dir', 'file', 'dir', 'extra'] as const;
type Name = (typeof names)[number];
const certificates = Object.fromEntries(
  names.map((name) => [name, selfSignedCertificate([`${name}.test`]).cert]),
) as Record<Name, string>;

interface Machine {
  /** Of the machine's folder, the path. */
  readonly path: (name: string) => string;
  /** Which of the certificates are trusted, in order, each as often as it came. */
  readonly trusted: (env?: Readonly<Record<string, string>>) => Promise<readonly string[]>;
  readonly warnings: readonly string[];
}

/** A machine whose authorities are in `usual.crt` and the folder `usual`, beside other files. */
async function openMachine(t: TestContext, others: Readonly<Record<string, string>> = {}): Promise<Machine> {
  const folder = await writeCertificates(t, {
    'usual.crt': certificates.system,
    'usual/one.pem': certificates['system-dir'],
    'file.pem': certificates.file,
    'dir/0123abcd.0': certificates.dir,
    'extra.pem': certificates.extra,
    ...others,
  });
  const path = (name: string): string => join(folder, name);
  const system = { files: [path('missing.crt'), path('usual.crt'), path('file.pem')], directories: [path('usual')] };
  const warnings: string[] = [];
  const onWarning = (warning: string): void => void warnings.push(warning);
  return {
    path,
    warnings,
    trusted: async (env = {}) => {
      const found = await readAuthorities({ env, onWarning, system });
      return found.map((pem) => names.find((name) => certificates[name].trim() === pem) ?? 'unknown');
    },
  };
}

test('trusts what the system trusts: the first of its files, and its directories', async (t) => {
  const { trusted } = await openMachine(t);
  assert.deepEqual(await trusted(), ['system', 'system-dir']);
});

test('takes SSL_CERT_FILE for the file, SSL_CERT_DIR for the directories, either alone or both', async (t) => {
  const { path, trusted, warnings } = await openMachine(t);
  const file = { SSL_CERT_FILE: path('file.pem') };
  const directory = { SSL_CERT_DIR: `${path('missing')}:${path('dir')}:` };
  assert.deepEqual(await trusted(file), ['file', 'system-dir']);
  assert.deepEqual(await trusted(directory), ['system', 'dir']);
  assert.deepEqual(await trusted({ ...file, ...directory }), ['file', 'dir']);
  assert.deepEqual(await trusted({ SSL_CERT_FILE: '', SSL_CERT_DIR: '' }), ['system', 'system-dir']);
  assert.deepEqual(warnings, []);
});

test('adds NODE_EXTRA_CA_CERTS', async (t) => {
  const { path, trusted } = await openMachine(t);
  assert.deepEqual(await trusted({ NODE_EXTRA_CA_CERTS: path('extra.pem') }), ['system', 'system-dir', 'extra']);
});

test('takes each certificate once, whatever names it', async (t) => {
  const bundle = `# all\n${certificates.file}${certificates.dir}text between\n${certificates.file}`;
  const { path, trusted } = await openMachine(t, { 'certs/bundle.crt': bundle, 'certs/dir.pem': certificates.dir });
  const file = path('certs/bundle.crt');
  const env = { SSL_CERT_FILE: file, SSL_CERT_DIR: path('certs'), NODE_EXTRA_CA_CERTS: file };
  assert.deepEqual(await trusted(env), ['file', 'dir']);
});

test('passes over folders, broken links, and files without a certificate', async (t) => {
  const { path, trusted, warnings } = await openMachine(t, {
    'certs/note.txt': 'no certificate',
    'certs/b.pem': certificates.dir,
  });
  await mkdir(path('certs/a.crt'));
  await symlink('/nonexistent/a.pem', path('certs/c.pem'));
  await symlink(path('extra.pem'), path('certs/d.pem'));
  await symlink('b.pem', path('certs/0123abcd.0'));
  assert.deepEqual(await trusted({ SSL_CERT_DIR: path('certs') }), ['system', 'dir', 'extra']);
  assert.deepEqual(warnings, []);
});

test('warns of a file that a variable names, and that cannot be read', async (t) => {
  const { path, trusted, warnings } = await openMachine(t);
  const env = { SSL_CERT_FILE: path('usual'), NODE_EXTRA_CA_CERTS: path('missing.pem') };
  assert.deepEqual(await trusted(env), ['system-dir']);
  assert.deepEqual(
    warnings.map((warning) => warning.split(' ')[0]),
    ['SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS'],
  );
});

test('reads what Debian joins into one file there, and not again', async (t) => {
  const { path, trusted, warnings } = await openMachine(t, {
    'certs/ca-certificates.crt': certificates.dir,
    'certs/own.pem': certificates.extra,
  });
  // As update-ca-certificates leaves them; a link that was followed would add a certificate.
  const folder = '/usr/share/ca-certificates/mozilla';
  const [name] = existsSync(folder) ? readdirSync(folder) : ['missing.crt'];
  await symlink(join(folder, name ?? 'missing.crt'), path('certs/linked.pem'));
  assert.deepEqual(await trusted({ SSL_CERT_DIR: path('certs') }), ['system', 'dir', 'extra']);
  assert.deepEqual(warnings, []);
});
