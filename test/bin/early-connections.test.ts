import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { buildImage } from '../support/images.ts';
import { listen } from '../support/http-servers.ts';
import { builtProgram, runImgcopy } from '../support/imgcopy-command.ts';
import { startRegistry } from '../support/registry.ts';

const options = { timeout: 60_000 };
/** Ends the process where it would load the program. */
const withoutProgram = `
  const vm = process.getBuiltinModule('node:vm');
  vm.Script = class extends vm.Script {
    constructor(source, options) {
      if (options.filename.endsWith('imgcopy.cjs')) process.exit(99);
      super(source, options);
    }
  };
`;

async function openHome(t: TestContext): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'imgcopy-early-'));
  t.after(() => rm(home, { recursive: true, force: true }));
  return home;
}

/** A server that counts its connections. */
async function startCounter(t: TestContext): Promise<{ readonly port: number; readonly connections: () => number }> {
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.on('error', () => undefined).resume();
  });
  return { port: await listen(t, server), connections: () => connections };
}

test('begins a connection to each registry before the program is loaded', options, async (t) => {
  const env = { HOME: await openHome(t) };
  const [from, to] = [await startCounter(t), await startCounter(t)];
  const args = ['--plain-http', `localhost:${from.port}/app:1`, '-q', `docker://0.0.0.0:${to.port}/app:1`];
  // On a busy machine, a name may take longer to resolve than the command waits for it.
  const patient = 'const wait = setTimeout; globalThis.setTimeout = (callback, ms) => wait(callback, 1000 * ms);';
  const preload = `${patient}${withoutProgram}`;
  const { status } = await runImgcopy(args, { env, file: builtProgram, preload });
  assert.deepEqual([status, from.connections(), to.connections()], [99, 1, 1]);
});

test(
  'has V8 compile the pattern of IPv6 addresses to machine code at once, before it connects to a name',
  options,
  async (t) => {
    const env = { HOME: await openHome(t) };
    const { port } = await startCounter(t);
    const tell = `
    const net = process.getBuiltinModule('node:net');
    const { connect, isIPv6 } = net;
    net.connect = (options) => (process.stderr.write('connect ' + options.host + ';'), connect(options));
    net.isIPv6 = (text) => (process.stderr.write('isIPv6 ' + text.length + ';'), isIPv6(text));
  `;
    const toldFor = async (host: string): Promise<string> => {
      const args = ['inspect', `${host}:${port}/app:1`];
      const { stderr } = await runImgcopy(args, { env, file: builtProgram, preload: `${tell}${withoutProgram}` });
      return stderr;
    };
    assert.equal(await toldFor('localhost'), 'isIPv6 1000;connect localhost;');
    assert.equal(await toldFor('0.0.0.0'), 'connect 0.0.0.0;');
  },
);

test('begins none for what may not be a registry, or is behind a proxy', options, async (t) => {
  const env = { HOME: await openHome(t) };
  const { port, connections } = await startCounter(t);
  const name = `0.0.0.0:${port}/app:1`;
  const cases: readonly (readonly string[])[] = [
    ['inspect', '--authfile', name],
    ['inspect', '--json'],
    ['copy', `dir:${port}/app`, `./0.0.0.0:${port}/app`],
  ];
  for (const args of cases) {
    const { status } = await runImgcopy(args, { env, file: builtProgram, preload: withoutProgram });
    assert.deepEqual([status, connections()], [99, 0], args.join(' '));
  }
  const proxied = `process.env.https_proxy = 'http://127.0.0.1:1'; ${withoutProgram}`;
  await runImgcopy(['inspect', name], { env, file: builtProgram, preload: proxied });
  assert.equal(connections(), 0);
});

test('begins none to a port above 65535, and the program says what is wrong', options, async (t) => {
  const env = { HOME: await openHome(t) };
  const args = ['localhost:99999/a/b:1', `dir:${join(env.HOME, 'image')}`];
  const { status, stderr } = await runImgcopy(args, { env, file: builtProgram });
  assert.match(stderr, /^imgcopy: .*localhost:99999/);
  assert.doesNotMatch(stderr, /RangeError/);
  assert.equal(status, 2);
});

test('begins none where registries.conf may lead elsewhere', options, async (t) => {
  const home = await openHome(t);
  const { port, connections } = await startCounter(t);
  const args = ['inspect', `0.0.0.0:${port}/app:1`];
  const run = async (more: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Promise<number> => {
    const before = connections();
    await runImgcopy([...args, ...more], { env: { HOME: home, ...env }, file: builtProgram, preload: withoutProgram });
    return connections() - before;
  };
  assert.equal(await run(['--hosts-dir=certs.d']), 0);
  assert.equal(await run([], { CONTAINERS_REGISTRIES_CONF: '/dev/null' }), 0);
  const folder = join(home, '.config/containers');
  await mkdir(join(folder, 'registries.conf.d'), { recursive: true });
  await writeFile(join(folder, 'registries.conf'), '# [[registry]]\nunqualified-search-registries = ["docker.io"]\n');
  assert.equal(await run(), 1);
  await writeFile(join(folder, 'registries.conf.d/a.conf'), '[[registry]]\nlocation = "a.test"\n');
  assert.equal(await run(), 0);
});

test('sends its first request over the connection that was begun early', options, async (t) => {
  const env = { HOME: await openHome(t) };
  await using registry = await startRegistry();
  registry.seed('app', '1', buildImage({ layers: { count: 1, size: 100 } }));
  const args = ['digest', '--plain-http', `0.0.0.0:${registry.host.split(':')[1]}/app:1`];
  const { status, stderr } = await runImgcopy(args, { env, file: builtProgram });
  const connections = new Set(registry.requests.map(({ connection }) => connection));
  assert.deepEqual([status, stderr, [...connections]], [0, '', [1]]);
});

test('begins TLS with both registries before undici is asked to connect', options, async (t) => {
  const env = { HOME: await openHome(t) };
  const first = async (): Promise<{ port: number; byte: Promise<number | undefined> }> => {
    const { promise, resolve } = Promise.withResolvers<number | undefined>();
    const server = createServer((socket) => {
      socket
        .on('error', () => undefined)
        .once('data', (bytes) => resolve(bytes[0]))
        .once('close', () => resolve(undefined));
    });
    return { port: await listen(t, server), byte: promise };
  };
  const [from, to] = [await first(), await first()];
  const endBeforeUndici = `
    import { subscribe } from 'node:diagnostics_channel';
    subscribe('undici:client:beforeConnect', () => process.exit(99));
  `;
  // The names of hosts: https is certain for them. 0.0.0.0 leads to this machine.
  const args = ['-q', `0.0.0.0:${from.port}/app:1`, `0.0.0.0:${to.port}/app:1`];
  const { status } = await runImgcopy(args, { env, file: builtProgram, preload: endBeforeUndici });
  const HANDSHAKE = 22;
  assert.deepEqual([status, await from.byte, await to.byte], [99, HANDSHAKE, HANDSHAKE]);
});
