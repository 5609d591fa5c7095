import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ImgcopyError, createCopier } from '../../src/index.ts';
import { openHome } from '../library/test-copier.ts';
import { registryTable } from '../support/registries-conf.ts';
import { listen } from '../support/http-servers.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { requireTool, runTool } from '../support/real-tools.ts';
import { writeImage } from '../transports/dir/image-directory.ts';

/** What an address is asked for when an image is read there. */
interface Asked {
  /** Each manifest, in order: `host/name:tag`. */
  readonly manifests: readonly string[];
  /** `host:443` by TLS, `host` by http, each once. */
  readonly hosts: readonly string[];
  /** Whether the configuration is refused, or what it forbids. */
  readonly isRefused: boolean;
}

/** A network in which no registry speaks TLS, none has an image, and everybody is heard. */
interface Network {
  readonly env: Readonly<Record<string, string>>;
  /** What was asked since the last time. Each has its own way to look at a destination, so there the hosts alone count. */
  readonly take: (how: AskOptions['how']) => Pick<Asked, 'manifests' | 'hosts'>;
}

async function openNetwork(t: TestContext): Promise<Network> {
  const manifests: string[] = [];
  const hosts: string[] = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://proxy.invalid');
    const [, repository, name] = /^\/v2\/(.+)\/manifests\/(.+)$/.exec(url.pathname) ?? [];
    hosts.push(url.host);
    if (repository !== undefined) manifests.push(`${url.host}/${repository}:${name}`);
    response.writeHead(url.pathname === '/v2/' ? 200 : 404, { 'docker-distribution-api-version': 'registry/2.0' });
    response.end();
  });
  server.on('connect', ({ url = '' }: IncomingMessage, socket) => {
    hosts.push(url);
    socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
  });
  const proxy = `http://127.0.0.1:${await listen(t, server)}`;
  return {
    env: { HTTP_PROXY: proxy, HTTPS_PROXY: proxy, NO_PROXY: '' },
    take: (how) => {
      const [read, heard] = [manifests.splice(0), hosts.splice(0)];
      return { manifests: how === 'read' ? withoutRepeats(read) : [], hosts: [...new Set(heard)] };
    },
  };
}

/** Without what comes twice in a row: skopeo asks some things twice. */
function withoutRepeats(list: readonly string[]): readonly string[] {
  return list.filter((one, index) => one !== list[index - 1]);
}

interface Stage {
  readonly skopeo: (name: string, options: AskOptions) => Promise<Asked>;
  readonly imgcopy: (name: string, options: AskOptions) => Promise<Asked>;
  readonly write: (file: string, text: string) => Promise<void>;
}

interface AskOptions {
  /** Whether to read or to write. */
  readonly how: 'read' | 'write';
  /** False: no certificate is checked, and all speak http. Undefined: as the configuration says. */
  readonly tlsVerify?: false | undefined;
}

async function openStage(t: TestContext, program: string): Promise<Stage> {
  const network = await openNetwork(t);
  const { path: home, env } = await openHome(t);
  const config = join(home, '.config');
  const image = join(home, 'image');
  await writeImage(image, buildImage({ layers: { count: 1, size: 100 } }));
  const refused = (): Asked => ({ manifests: [], hosts: [], isRefused: true });
  return {
    write: async (file, text) => {
      const path = join(config, 'containers', file);
      await mkdir(join(path, '..'), { recursive: true });
      await writeFile(path, text);
    },
    skopeo: async (name, { how, tlsVerify }) => {
      const verify = (option: string): readonly string[] => (tlsVerify === false ? [`--${option}=false`] : []);
      const args =
        how === 'read'
          ? ['inspect', '--raw', ...verify('tls-verify'), `docker://${name}`]
          : ['copy', ...verify('dest-tls-verify'), `dir:${image}`, `docker://${name}`];
      const settings = { HOME: home, XDG_RUNTIME_DIR: home, ...network.env };
      await assert.rejects(runTool(program, ['--insecure-policy', ...args], { env: settings }));
      const asked = network.take(how);
      return asked.hosts.length === 0 ? refused() : { ...asked, isRefused: false };
    },
    imgcopy: async (name, { how, tlsVerify }) => {
      const endpoint = { tlsVerify };
      await using copier = createCopier({ env: { ...env, ...network.env, XDG_CONFIG_HOME: config }, retryTimes: 0 });
      const asking =
        how === 'read'
          ? copier.manifest(name, { endpoint })
          : copier.copy(`dir:${image}`, `docker://${name}`, { destination: endpoint });
      const error = await asking.then(
        () => assert.fail('nobody has an image'),
        (failure: unknown) => failure,
      );
      assert.ok(error instanceof ImgcopyError, String(error));
      const asked = network.take(how);
      const isRefused = error.code.startsWith('ERR_REGISTR');
      assert.equal(isRefused, asked.hosts.length === 0, error.message);
      return isRefused ? refused() : { ...asked, isRefused };
    },
  };
}

const DIGEST = `sha256:${'0'.repeat(64)}`;

interface Case {
  readonly what: string;
  /** The main file, and drop-ins after it. */
  readonly files: readonly string[];
  readonly names: readonly string[];
}

const written: readonly Case[] = [
  {
    what: 'mirrors for tags, digests and both',
    files: [
      registryTable('a.test/foo', 'a.test/bar', [
        'one.test\npull-from-mirror = "digest-only"',
        'two.test\npull-from-mirror = "tag-only"\ninsecure = true',
        'three.test/x',
        'four.test\npull-from-mirror = "all"',
      ]),
    ],
    names: ['a.test/foo/app:1', `a.test/foo/app@${DIGEST}`, 'a.test/foo:1', 'a.test/foobar:1', 'a.test/other:1'],
  },
  {
    what: 'mirror-by-digest-only',
    files: [registryTable('b.test', 'b.test\nmirror-by-digest-only = true\ninsecure = true', ['one.test', 'two.test'])],
    names: ['b.test/app:1', `b.test/app@${DIGEST}`],
  },
  {
    what: 'wildcards and the longest prefix',
    files: [
      registryTable('*.test', 'all.test') +
        registryTable('*.sub.test', 'sub.test/x') +
        registryTable('a.sub.test', 'own.test') +
        registryTable('long.sub.test', 'long.test') +
        registryTable('long.sub.test/team', 'team.test') +
        '[[registry]]\nprefix = "*.free.test"\ninsecure = true\n',
    ],
    names: [
      'a.test/app:1',
      'a.sub.test/app:1',
      'b.sub.test/app:1',
      'x.y.sub.test/app:1',
      'long.sub.test/app:1',
      'long.sub.test/team/app:1',
      'long.sub.test/teams/app:1',
      'sub.test:5000/app:1',
      'x.free.test/app:1',
      'test/app:1',
    ],
  },
  {
    what: 'ports',
    files: [
      registryTable('a.test', 'x.test') +
        registryTable('b.test:5000', 'y.test:6000') +
        registryTable('c.test', 'z.test:1'),
    ],
    names: ['a.test:5000/app:1', 'b.test/app:1', 'b.test:5000/app:1', 'c.test/app:1', 'c.test:2/app:1'],
  },
  {
    what: 'Docker Hub',
    files: [registryTable('docker.io', 'hub.test') + registryTable('docker.io/library/alpine', 'alpine.test/a')],
    names: ['docker.io/library/alpine:3', 'docker.io/library/alpines:3', 'docker.io/team/app:1'],
  },
  {
    what: 'blocked registries',
    files: [
      '[[registry]]\nlocation = "no.test"\nblocked = true\n' +
        registryTable('m.test', 'm.test', ['no.test', 'yes.test']) +
        registryTable('moved.test', 'no.test\nblocked = true'),
    ],
    names: ['no.test/app:1', 'm.test/app:1', 'moved.test/app:1', 'not.no.test/app:1'],
  },
  {
    what: 'loops, and a prefix that is itself',
    files: [
      registryTable('a.test', 'b.test', ['a.test']) +
        registryTable('b.test', 'a.test') +
        registryTable('c.test', 'c.test/c.test'),
    ],
    names: ['a.test/app:1', 'b.test/app:1', 'c.test/app:1', 'c.test/c.test/app:1'],
  },
  {
    what: 'drop-ins that disagree',
    files: [
      registryTable('a.test', 'main.test', ['m.test']) + registryTable('b.test', 'main.test'),
      registryTable('a.test', 'first.test'),
      registryTable('a.test', 'second.test\ninsecure = true'),
    ],
    names: ['a.test/app:1', 'b.test/app:1'],
  },
  {
    what: 'two tables with one prefix',
    files: [registryTable('a.test', 'one.test') + registryTable('a.test', 'two.test')],
    names: ['a.test/app:1'],
  },
  {
    what: 'slashes, spaces in keys, capitals',
    files: ['[[ registry ]]\nLocation = "x.test/y//"\nPREFIX = "a.test/"\n'],
    names: ['a.test/app:1'],
  },
];

const broken: Readonly<Record<string, string>> = {
  'what is not TOML': '[[registry\n',
  'a number as location': '[[registry]]\nlocation = 1\n',
  'a URL': '[[registry]]\nlocation = "https://a.test"\n',
  'neither prefix nor location': '[[registry]]\ninsecure = true\n',
  'a prefix without location': '[[registry]]\nprefix = "a.test"\n',
  'a wildcard with a path': '[[registry]]\nprefix = "*.a.test/x"\nlocation = "b.test"\n',
  'pull-from-mirror outside of a mirror': '[[registry]]\nlocation = "a.test"\npull-from-mirror = "all"\n',
  'an unknown pull-from-mirror': registryTable('a.test', 'a.test', ['b.test\npull-from-mirror = "never"']),
  'two ways to say digest-only': registryTable('a.test', 'a.test\nmirror-by-digest-only = true', [
    'b.test\npull-from-mirror = "all"',
  ]),
  'a conflict of insecure': registryTable('a.test', 'x.test') + registryTable('b.test', 'x.test\ninsecure = true'),
  'a conflict of blocked': registryTable('a.test', 'x.test') + registryTable('b.test', 'x.test\nblocked = true'),
  'a mirror without location': '[[registry]]\nlocation = "a.test"\n[[registry.mirror]]\ninsecure = true\n',
};

/** Files of random tables over a few names, so that prefixes, locations and mirrors meet each other. */
function randomCase(seed: number): Case {
  const numbers = randomBytes(`tables ${seed}`, 400);
  let at = 0;
  const next = (): number => (numbers[at++ % numbers.length] ?? 0) / 256;
  const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)] as T;
  const hosts = ['a.test', 'b.test', 'x.a.test', 'long.a.test', 'b.test:5000'];
  const place = (): string => `${pick(hosts)}${pick(['', '', '/team', '/team/app', '/x'])}`;
  const prefix = (): string => (next() < 0.2 ? `*.${pick(['test', 'a.test'])}` : place());
  const lines = (): string => (next() < 0.3 ? '\ninsecure = true' : '');
  const mirror = (): string => {
    const kind = pick(['', '', '\npull-from-mirror = "digest-only"', '\npull-from-mirror = "tag-only"']);
    return `${place()}${lines()}${kind}`;
  };
  const table = (): string =>
    registryTable(prefix(), place() + lines(), Array.from({ length: Math.floor(next() * 3) }, mirror));
  const file = (): string => Array.from({ length: 1 + Math.floor(next() * 5) }, table).join('');
  const files = Array.from({ length: next() < 0.3 ? 2 : 1 }, file);
  const names = Array.from({ length: 2 }, () => `${place()}/app${pick([':1', `@${DIGEST}`])}`);
  return { what: `random tables ${seed}`, files, names };
}

const cases: readonly Case[] = [
  ...written,
  ...Object.entries(broken).map(([what, text]) => ({ what, files: [text], names: ['a.test/app:1'] })),
  ...Array.from({ length: 20 }, (_, seed) => randomCase(seed + 1)),
];

test(
  'asks the endpoints that skopeo asks, in its order, by its scheme, on 40 and more files (behaviour 55)',
  { concurrency: 4 },
  async (t) => {
    const program = requireTool(t, 'skopeo');
    if (program === undefined) return;
    assert.ok(cases.length >= 40);
    const comparing = cases.map(({ what, files, names }) =>
      t.test(what, async (inner) => {
        const stage = await openStage(inner, program);
        const [main = '', ...others] = files;
        await stage.write('registries.conf', main);
        for (const [index, text] of others.entries()) await stage.write(`registries.conf.d/${index}.conf`, text);
        const compare = async (name: string, way: AskOptions): Promise<void> => {
          const [theirs, ours] = [await stage.skopeo(name, way), await stage.imgcopy(name, way)];
          assert.deepEqual(ours, theirs, `${name} ${JSON.stringify(way)}\n${files.join('\n---\n')}`);
        };
        for (const name of names) {
          await compare(name, { how: 'read', tlsVerify: false });
          await compare(name, { how: 'read' });
          if (!name.includes('@')) await compare(name, { how: 'write' });
        }
      }),
    );
    await Promise.all(comparing);
  },
);
