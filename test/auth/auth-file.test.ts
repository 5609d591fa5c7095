import assert from 'node:assert/strict';
import { test } from 'node:test';
import { entryCredentials, matchingEntry, parseAuthFile } from '../../src/auth/auth-file.ts';

const keys: readonly {
  readonly name: string;
  readonly auths: readonly string[];
  readonly registry: string;
  readonly repository?: string;
  readonly expected: string | undefined;
}[] = [
  { name: 'a host', auths: ['other.test', 'reg.test'], registry: 'reg.test', expected: 'reg.test' },
  {
    name: 'a host with its port',
    auths: ['reg.test', 'reg.test:5000'],
    registry: 'reg.test:5000',
    expected: 'reg.test:5000',
  },
  { name: 'no host without the port', auths: ['reg.test'], registry: 'reg.test:5000', expected: undefined },
  {
    name: 'the longest path',
    auths: ['reg.test', 'reg.test/ns', 'reg.test/ns/app', 'reg.test/ns/app/sub'],
    registry: 'reg.test',
    repository: 'ns/app',
    expected: 'reg.test/ns/app',
  },
  {
    name: 'a namespace',
    auths: ['reg.test', 'reg.test/ns', 'reg.test/n'],
    registry: 'reg.test',
    repository: 'ns/app',
    expected: 'reg.test/ns',
  },
  {
    name: 'no sibling namespace',
    auths: ['reg.test/ns'],
    registry: 'reg.test',
    repository: 'nsx/app',
    expected: undefined,
  },
  {
    name: 'a URL',
    auths: ['https://reg.test/v1/'],
    registry: 'reg.test',
    repository: 'app',
    expected: 'https://reg.test/v1/',
  },
  {
    name: 'a URL with http',
    auths: ['http://reg.test:5000/v2/'],
    registry: 'reg.test:5000',
    expected: 'http://reg.test:5000/v2/',
  },
  ...['reg.test/', 'reg.test/v1/', 'reg.test/v2/'].map((key) => ({
    name: `the host that ${key} means`,
    auths: ['other.test/', key],
    registry: 'reg.test',
    repository: 'ns/app',
    expected: key,
  })),
  {
    name: 'a namespace with a slash after it',
    auths: ['reg.test', 'reg.test/ns/'],
    registry: 'reg.test',
    repository: 'ns/app',
    expected: 'reg.test/ns/',
  },
  {
    name: 'the host before a URL',
    auths: ['https://reg.test', 'reg.test'],
    registry: 'reg.test',
    expected: 'reg.test',
  },
  {
    name: "docker's key for Docker Hub",
    auths: ['https://index.docker.io/v1/'],
    registry: 'docker.io',
    repository: 'library/alpine',
    expected: 'https://index.docker.io/v1/',
  },
  { name: 'docker.io for its API host', auths: ['docker.io'], registry: 'registry-1.docker.io', expected: 'docker.io' },
  {
    name: 'registry-1.docker.io for docker.io',
    auths: ['registry-1.docker.io'],
    registry: 'docker.io',
    expected: 'registry-1.docker.io',
  },
  {
    name: 'a namespace of Docker Hub',
    auths: ['docker.io/me', 'docker.io'],
    registry: 'docker.io',
    repository: 'me/app',
    expected: 'docker.io/me',
  },
  { name: 'nothing by a name of the language', auths: [], registry: 'constructor', expected: undefined },
];

for (const { name, auths, registry, repository, expected } of keys) {
  test(`an auth file's keys match by ${name} (behaviour 47)`, () => {
    const text = JSON.stringify({ auths: Object.fromEntries(auths.map((key) => [key, {}])) });
    const file = parseAuthFile(text, { name: 'auth.json' });
    assert.equal(matchingEntry(file, registry, repository)?.key, expected);
  });
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

const entries: readonly { readonly entry: object; readonly expected: object | undefined }[] = [
  { entry: { auth: base64('anna:a:b:') }, expected: { kind: 'basic', username: 'anna', password: 'a:b:' } },
  { entry: { auth: base64('änna:pß') }, expected: { kind: 'basic', username: 'änna', password: 'pß' } },
  { entry: { auth: base64('anna:pw\0\0') }, expected: { kind: 'basic', username: 'anna', password: 'pw' } },
  { entry: { username: 'anna', password: 'pw' }, expected: { kind: 'basic', username: 'anna', password: 'pw' } },
  {
    entry: { auth: base64('anna:'), identitytoken: 'idt' },
    expected: { kind: 'identity-token', token: 'idt', username: 'anna' },
  },
  {
    entry: { auth: base64('<token>:'), identitytoken: 'idt' },
    expected: { kind: 'identity-token', token: 'idt', username: undefined },
  },
  { entry: { registrytoken: 'rt', auth: base64('anna:pw') }, expected: { kind: 'registry-token', token: 'rt' } },
  { entry: { email: 'a@b.test' }, expected: undefined },
  { entry: { auth: base64('no colon') }, expected: undefined },
];

for (const { entry, expected } of entries) {
  test(`the entry ${JSON.stringify(entry)} means ${JSON.stringify(expected)} (behaviour 47)`, () => {
    const file = parseAuthFile(JSON.stringify({ auths: { 'reg.test': entry } }), { name: 'auth.json' });
    assert.deepEqual(entryCredentials(file.auths.get('reg.test') ?? {}), expected);
  });
}
