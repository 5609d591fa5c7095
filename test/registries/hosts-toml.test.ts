import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { parseRegistryReference } from '../../src/reference/registry-reference.ts';
import type { ConfiguredEndpoint } from '../../src/registries/configured-endpoint.ts';
import { HostsDirectory } from '../../src/registries/hosts-directory.ts';
import { parseHostsToml } from '../../src/registries/hosts-toml.ts';

const DIGEST = `sha256:${'0'.repeat(64)}`;

interface Root {
  readonly path: string;
  readonly read: (name: string) => readonly ConfiguredEndpoint[];
  readonly write: (name: string) => ConfiguredEndpoint;
}

/** A directory with a hosts.toml for each of these names; undefined: an empty directory. */
async function openRoot(t: TestContext, hosts: Readonly<Record<string, string | undefined>>): Promise<Root> {
  const path = await mkdtemp(join(tmpdir(), 'imgcopy-hosts-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(hosts)) {
    await mkdir(join(path, name));
    if (text !== undefined) await writeFile(join(path, name, 'hosts.toml'), text);
  }
  const directory = new HostsDirectory(path);
  return {
    path,
    read: (name) => directory.endpointsToRead(parseRegistryReference(name, name)),
    write: (name) => directory.endpointToWrite(parseRegistryReference(name, name)),
  };
}

function addresses(endpoints: readonly ConfiguredEndpoint[]): readonly string[] {
  return endpoints.map(({ address, apiRoot, plainHttp }) => `${plainHttp ? 'http:' : ''}${address.registry}${apiRoot}`);
}

test('asks the hosts in the order of the file, then the server', async (t) => {
  const { read } = await openRoot(t, {
    'docker.io': `server = "https://registry-1.docker.io"
[host."https://zeta.test"]
capabilities = ["pull"]
[host."http://alpha.test:5000"]
[host."https://alpha.test/us"]
[host."https://alpha.test/us".header]
x = "y"
[host."https://alpha.test/odd/path"]
override_path = true
[host."plain.test/v2"]
[host."https://pushes.test"]
capabilities = ["push"]
`,
  });
  const endpoints = read('alpine');
  assert.deepEqual(addresses(endpoints), [
    'zeta.test/v2',
    'http:alpha.test:5000/v2',
    'alpha.test/us/v2',
    'alpha.test/odd/path',
    'plain.test/v2',
    'docker.io/v2',
  ]);
  assert.deepEqual(new Set(endpoints.map(({ address }) => address.repository)), new Set(['library/alpine']));
  assert.deepEqual(
    endpoints.map(({ namespace }) => namespace),
    [...Array.from({ length: 5 }, () => 'docker.io'), undefined],
  );
  assert.deepEqual(
    endpoints.map(({ resolvesTags }) => resolvesTags),
    [false, true, true, true, true, true],
  );
});

test('finds the directory of a registry as containerd does: HOST_PORT_, HOST:PORT, then _default', async (t) => {
  const { read } = await openRoot(t, {
    'a.test_5000_': 'server = "one.test"',
    'a.test:5000': 'server = "two.test"',
    'b.test:5000': 'server = "three.test"',
    _default: '[host."https://any.test"]',
  });
  assert.deepEqual(addresses(read('a.test:5000/app')), ['one.test/v2']);
  assert.deepEqual(addresses(read('b.test:5000/app')), ['three.test/v2']);
  assert.deepEqual(addresses(read('c.test/app')), ['any.test/v2', 'c.test/v2']);
});

test('files are relative to the hosts.toml, in each of the forms of containerd', async (t) => {
  const { path, read } = await openRoot(t, {
    'a.test': `ca = "own.crt"
client = "own.pem"
[host."https://b.test"]
ca = ["/etc/one.crt", "two.crt"]
client = [["client.cert", "client.key"], ["both.pem", ""]]
skip_verify = true
[host."https://c.test"]
client = ["1.pem", "2.pem"]
`,
  });
  const at = (name: string): string => join(path, 'a.test', name);
  assert.deepEqual(
    read('a.test/app').map(({ insecure, certificates }) => ({ insecure, certificates })),
    [
      {
        insecure: true,
        certificates: {
          authorities: ['/etc/one.crt', at('two.crt')],
          clients: [
            { cert: at('client.cert'), key: at('client.key') },
            { cert: at('both.pem'), key: at('both.pem') },
          ],
        },
      },
      {
        insecure: false,
        certificates: {
          authorities: [],
          clients: ['1.pem', '2.pem'].map((name) => ({ cert: at(name), key: at(name) })),
        },
      },
      {
        insecure: false,
        certificates: { authorities: [at('own.crt')], clients: [{ cert: at('own.pem'), key: at('own.pem') }] },
      },
    ],
  );
});

test('a destination is the registry of the name; what the file says of TLS holds where that is the server', async (t) => {
  const { path, write } = await openRoot(t, {
    'a.test': 'server = "https://a.test"\nskip_verify = true\n[host."https://b.test"]\n',
    'c.test': 'ca = "c.crt"\n',
    'd.test': 'server = "https://elsewhere.test"\nskip_verify = true\n',
  });
  const [a, c, d] = ['a.test/app', 'c.test/app', 'd.test/app'].map(write);
  assert.deepEqual(
    [a, c, d].map((one) => one?.address.registry),
    ['a.test', 'c.test', 'd.test'],
  );
  assert.deepEqual(
    [a, c, d].map((one) => one?.insecure),
    [true, false, false],
  );
  assert.deepEqual(c?.certificates?.authorities, [join(path, 'c.test/c.crt')]);
});

test('a directory without hosts.toml may hold certificates; without a directory, a name is its own address', async (t) => {
  const { path, read } = await openRoot(t, { 'a.test': undefined });
  assert.equal(read('a.test/app')[0]?.certDir, join(path, 'a.test'));
  assert.deepEqual(read('b.test/app'), [
    { address: { registry: 'b.test', repository: 'app' }, isMirror: false, insecure: false },
  ]);
});

test('where nobody may say what a tag means, only digests can be read', async (t) => {
  const { read } = await openRoot(t, {
    'a.test': 'capabilities = ["pull"]\n[host."https://b.test"]\ncapabilities = ["pull"]\n',
    'c.test': 'capabilities = ["push"]\n',
  });
  assert.deepEqual(addresses(read(`a.test/app@${DIGEST}`)), ['b.test/v2', 'a.test/v2']);
  assert.throws(() => read('a.test/app:1'), { code: 'ERR_HOSTS_TOML', message: /no host has the capability resolve$/ });
  assert.throws(() => read('c.test/app:1'), { code: 'ERR_HOSTS_TOML', message: /no host has the capability pull$/ });
});

test('a directory that does not exist is an error', () => {
  assert.throws(() => new HostsDirectory('/nowhere/at/all'), {
    code: 'ERR_HOSTS_TOML',
    kind: 'usage',
    message: '--hosts-dir names /nowhere/at/all, which does not exist',
  });
});

const refused: Readonly<Record<string, string>> = {
  '[host\n': 'invalid TOML: ',
  'server = 5': 'server is not a string',
  '\nhost = "x"': 'host is not a table',
  '\n[host]\n"https://a.test" = 1': 'host "https://a.test" is not a table',
  '[host."ftp://a.test"]': '"ftp://a.test" is not the URL of a registry',
  '[host."https://user@a.test"]': '"https://user@a.test" is not the URL of a registry',
  '[host."https://a.test"]\ncapabilities = ["pull", "fly"]':
    'unknown capability "fly": expected pull, resolve, push, referrers',
  'capabilities = "pull"': 'capabilities is not a list of strings',
  'skip_verify = "yes"': 'skip_verify is neither true nor false',
  'ca = 1': 'ca is neither a path nor a list of paths',
  'client = [["a", "b", "c"]]': 'client is neither a path, nor a list of paths, nor one of pairs of paths',
};

for (const [text, problem] of Object.entries(refused)) {
  test(`refuses a hosts.toml: ${problem}`, () => {
    assert.throws(
      () => parseHostsToml({ file: '/d/hosts.toml', text }),
      (error: Error & { code: string }) => {
        assert.equal(error.code, 'ERR_HOSTS_TOML');
        assert.match(error.message, /^\/d\/hosts\.toml:\d: /);
        assert.ok(error.message.includes(problem), error.message);
        return true;
      },
    );
  });
}
