import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  credHelperFor,
  credsStoreFor,
  entryCredentials,
  matchingEntry,
  parseAuthFile,
} from '../../src/auth/auth-file.ts';
import { isSupported, parseChallenges, selectChallenge } from '../../src/auth/challenge.ts';
import { isDigest } from '../../src/digest/digest.ts';
import { formatPlatform, parsePlatform } from '../../src/manifest/platform.ts';
import { parseHostsToml } from '../../src/registries/hosts-toml.ts';
import { parseRegistriesConf } from '../../src/registries/registries-conf.ts';
import { mergeConfs } from '../../src/registries/registry-rules.ts';
import { parseRegistryReference } from '../../src/reference/registry-reference.ts';
import { parseImageName } from '../../src/transports/table.ts';
import { parseErrorBody } from '../../src/errors/error-body.ts';
import { digest } from '../manifest/samples.ts';
import { nearly, nearlyJson } from './nearly.ts';
import { assertRefusal, type FuzzTarget, parsed, target } from './target.ts';

const SHA256 = digest('fuzz');
const SHA512 = `sha512:${SHA256.slice(7)}${SHA256.slice(7)}`;
/** In auth files, and never in a message. */
const SECRET = 'hunter2-and-more';

const TOML_TOKENS = [
  '[[',
  ']]',
  '[',
  ']',
  '=',
  '"',
  "'",
  '.',
  ',',
  '{',
  '}',
  '\n',
  '#',
  'true',
  '*.',
  '://',
  '0x',
  '"""',
];

/** What people, servers and files write in a line or a small document. */
export const TEXT_TARGETS: readonly FuzzTarget[] = [
  target(
    'reference',
    nearly(references(), ['/', ':', '@', '.', '-', '__', 'docker://', 'dir:', '[::1]', '..']),
    (text) => {
      const reference = parsed(() => parseImageName(text));
      if (reference === undefined) return;
      assert.equal(String(parseImageName(String(reference))), String(reference));
      parseImageName(reference.pinned(SHA256));
      if (reference.transport !== 'docker') return;
      const {
        registry,
        repository,
        tag = 'latest',
      } = parseRegistryReference(String(reference).slice('docker://'.length), text);
      const url = new URL(`https://${registry}/v2/${repository}/manifests/${tag}`);
      assert.equal(url.pathname, `/v2/${repository}/manifests/${tag}`);
    },
  ),

  target(
    'digest',
    nearly([SHA256, SHA512, 'md5:d41d8cd98f00b204e9800998ecf8427e'], [':', 'sha256', '0', 'A']),
    (text) => {
      if (isDigest(text)) assert.match(text, /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/);
    },
  ),

  target(
    'platform',
    nearly(['linux/amd64', 'linux/arm/v7', 'windows/amd64:10.0.17763.1', 'local'], ['/', ':', ',']),
    (text) => {
      const platform = parsed(() => parsePlatform(text));
      if (platform !== undefined && text !== 'local')
        assert.deepEqual(parsePlatform(formatPlatform(platform)), platform);
    },
  ),

  target(
    'challenge',
    fc.array(nearly(challenges(), [',', '=', '"', '\\', ' ', '\t', 'Basic']), { maxLength: 3 }),
    (lines) => {
      const found = parseChallenges(lines);
      selectChallenge(found.filter(isSupported), undefined);
      const size = lines.join('').length;
      for (const { scheme, parameters } of found) {
        assert.equal(scheme, scheme.toLowerCase());
        for (const [name, value] of parameters) assert.ok(name !== '' && name.length + value.length < size);
      }
    },
  ),

  target('auth file', fc.tuple(nearlyJson(authFiles()), fc.boolean()), ([text, isLegacy]) => {
    let file;
    try {
      file = parseAuthFile(text, { name: 'auth.json', isLegacy });
    } catch (error) {
      assertRefusal(error);
      assert.ok(!`${error.message}${String(error.cause)}`.includes(SECRET));
      return;
    }
    for (const registry of ['docker.io', 'registry.test:5000', 'ghcr.io']) {
      const match = matchingEntry(file, registry, 'library/app');
      if (match !== undefined) entryCredentials(match.entry);
      credHelperFor(file, registry);
      credsStoreFor(file, registry);
    }
  }),

  target('registries.conf', nearly(registriesConfs(), TOML_TOKENS), (text) => {
    const conf = parsed(() => parseRegistriesConf({ file: 'registries.conf', text }));
    if (conf === undefined) return;
    const rules = mergeConfs([conf]);
    for (const name of ['a.test/team/app:v1', 'x.a.test:5000/app', `docker.io/library/app@${SHA256}`]) {
      const reference = parseRegistryReference(name, name);
      const endpoints = parsed(() => rules.endpointsToRead(reference)) ?? [];
      for (const { address } of endpoints) {
        const place = `${address.registry}/${address.repository}`;
        assert.deepEqual({ ...parseRegistryReference(place, place) }, { ...address });
      }
      const written = parsed(() => rules.endpointToWrite(reference));
      if (written !== undefined) assert.equal(written.address.registry, reference.registry);
    }
  }),

  target('hosts.toml', nearly(hostsTomls(), TOML_TOKENS), (text) => {
    const hosts = parsed(() => parseHostsToml({ file: '/d/hosts.toml', text }));
    for (const { host, apiRoot, certificates } of hosts === undefined ? [] : [...hosts.mirrors, hosts.server]) {
      if (host !== undefined) assert.equal(new URL(`https://${host}${apiRoot}/app/tags/list`).host.length > 0, true);
      assert.match(apiRoot, /^(?:\/|$)/);
      assert.ok(certificates?.authorities.every((path) => path.startsWith('/')) ?? true);
    }
  }),

  target(
    'error body',
    fc.oneof(nearlyJson(errorBodies()), nearly(['<html><body>502</body></html>', 'no healthy upstream'])),
    (text) => {
      const { codes, message } = parseErrorBody(text);
      assert.ok(codes.every((code) => typeof code === 'string'));
      assert.ok(message.length <= 1000);
      assert.doesNotMatch(message, /[\p{Cc}\p{Cf}]/u);
    },
  ),
];

function registriesConfs(): readonly string[] {
  return [
    `credential-helpers = ["containers-auth.json", "pass"]
[[registry]]
prefix = "*.a.test"
location = "b.test:5000/cache"
insecure = true
mirror = [{ location = "m.test/x", pull-from-mirror = "digest-only" }, { location = "n.test" }]
[[registry]]
location = "a.test/team"
mirror-by-digest-only = true
[[registry.mirror]]
location = "docker.io"
`,
    '[[registry]]\nprefix = "docker.io"\nlocation = "hub.test"\n[[registry]]\nlocation = "no.test"\nblocked = true\n',
    "[registries.search]\nregistries = ['docker.io']\n[registries.insecure]\nregistries = []\n",
  ];
}

function hostsTomls(): readonly string[] {
  return [
    `server = "https://registry-1.docker.io"
[host."https://mirror.test/us"]
capabilities = ["pull", "resolve"]
ca = ["one.crt", "/two.crt"]
client = [["client.cert", "client.key"], ["both.pem", ""]]
[host."http://10.0.0.1:5000"]
skip_verify = true
override_path = true
`,
  ];
}

function references(): readonly string[] {
  return [
    'alpine',
    'registry.test:5000/team/app:v1.2',
    `docker://registry.test/app@${SHA256}`,
    `docker://[::1]:5000/app:v1@${SHA512}`,
    `dir:/var/images/app@${SHA256}`,
    'oci:layout:tag',
    'docker-daemon:app:v1',
    'https://user:password@registry.test/v2/app',
  ];
}

function challenges(): readonly string[] {
  return [
    'Bearer realm="https://auth.test/token",service="registry.test",scope="repository:app:pull,push"',
    'Basic realm="registry \\"one\\"", charset="UTF-8"',
    'Negotiate YWJj==, Bearer realm=https://auth.test/token , error=invalid_token',
  ];
}

function authFiles(): readonly object[] {
  const auth = Buffer.from(`user:${SECRET}`).toString('base64');
  return [
    {
      auths: {
        'https://index.docker.io/v1/': { auth },
        'registry.test:5000/library': { username: 'user', password: SECRET },
        'ghcr.io': { identitytoken: SECRET, registrytoken: SECRET },
        'empty.test': {},
      },
      credHelpers: { 'gcr.io': 'gcloud' },
      credsStore: 'pass',
    },
    { 'https://registry.test:5000/v1/': { auth, email: 'user@registry.test' } },
  ];
}

function errorBodies(): readonly object[] {
  return [
    { errors: [{ code: 'MANIFEST_UNKNOWN', message: 'manifest unknown', detail: { Tag: 'v1' } }] },
    { errors: [{ code: 'DENIED', message: 'requested access is denied', detail: 'no such user' }, { code: 'X' }] },
    { details: 'too many requests' },
    { code: 'UNAUTHORIZED', message: 'log in first' },
  ];
}
