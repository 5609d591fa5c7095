import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { writeAuthority } from '../support/certificate-files.ts';
import { selfSignedCertificate } from '../support/certificate.ts';
import { listen } from '../support/http-servers.ts';
import { buildImage } from '../support/images.ts';
import { requireTool, runTool } from '../support/real-tools.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { openHome, TestCopier } from '../library/test-copier.ts';
import { freePort } from '../support/http-servers.ts';

const image = buildImage({ layers: { count: 3, size: 1_000_000 } });
/** Leads to this machine, and is no loopback address: reached through a proxy. */
const HERE = '0.0.0.0';
/** Its name, which the system resolves. */
const NAME = hostname().toLowerCase();
const tls = selfSignedCertificate([HERE, NAME, 'registry.test']);
const options = { timeout: 60_000 };

interface RealProxy {
  readonly port: number;
  /** Resolves when its log tells of this text. */
  readonly logged: (text: string) => Promise<void>;
}

/** Starts a proxy in the foreground, with the configuration that is made for its port and folder. */
async function startProxy(
  t: TestContext,
  program: string,
  {
    configure,
    args,
  }: {
    readonly configure: (port: number, folder: string) => Promise<string> | string;
    readonly args: (config: string) => readonly string[];
  },
): Promise<RealProxy> {
  const folder = await mkdtemp(join(tmpdir(), 'imgcopy-proxy-'));
  // Started by root, it goes on as a user of its own.
  await chmod(folder, 0o777);
  const port = await freePort();
  await writeFile(join(folder, 'config'), await configure(port, folder));
  const child = spawn(program, args(join(folder, 'config')), { stdio: 'ignore' });
  t.after(async () => {
    if (child.exitCode === null && child.kill()) await once(child, 'exit');
    await rm(folder, { recursive: true });
  });
  const isThere = async (): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`${program} ended with status ${child.exitCode}`);
    const socket = connect(port, '127.0.0.1');
    return await once(socket, 'connect')
      .then(() => true)
      .catch(() => false)
      .finally(() => socket.destroy());
  };
  while (!(await isThere())) await delay(20);
  return {
    port,
    logged: async (text) => {
      const read = (): Promise<string> => readFile(join(folder, 'log'), 'utf8').catch(() => '');
      while (!(await read()).includes(text)) await delay(20);
    },
  };
}

type Place = Pick<TestRegistry, 'host'>;

/** Lets a registry be reached on all addresses of this machine. */
async function onAllAddresses(t: TestContext, registry: TestRegistry): Promise<Place> {
  const relay = createServer((socket) => {
    const onward = connect(Number(portOf(registry)), '127.0.0.1');
    onward.on('error', () => socket.destroy()).on('close', () => socket.destroy());
    socket.on('error', () => onward.destroy()).on('close', () => onward.destroy());
    socket.pipe(onward).pipe(socket);
  });
  return { host: `${NAME}:${await listen(t, relay, '0.0.0.0')}` };
}

/** Copies from a registry by https to one by http, both through the proxy that the variables name. */
async function copyThrough(
  t: TestContext,
  env: Readonly<Record<string, string>>,
  { from, to, host = HERE }: { readonly from: Place; readonly to: Place; readonly host?: string },
): Promise<void> {
  const home = await openHome(t);
  await using copier = new TestCopier(home, { env: { ...home.env, ...env }, retryTimes: 0 });
  const at = (registry: Place): string => `${host}:${portOf(registry)}/app:1`;
  await copier.copy(at(from), at(to), {
    source: { caFile: await writeAuthority(t, tls.cert) },
    destination: { plainHttp: true },
  });
}

function portOf({ host }: Place): string {
  return host.split(':')[1] ?? '';
}

async function startBoth(): Promise<{ from: TestRegistry; to: TestRegistry } & AsyncDisposable> {
  const [from, to] = [await startRegistry({ tls }), await startRegistry()];
  from.seed('app', '1', image);
  return {
    from,
    to,
    async [Symbol.asyncDispose]() {
      await from.close();
      await to.close();
    },
  };
}

test(
  'copies through squid: CONNECT for https, whole URLs for http, with a user; the proxy resolves names',
  options,
  async (t) => {
    const program = requireTool(t, 'squid');
    if (program === undefined) return;
    const { stdout: hash } = await runTool('openssl', ['passwd', '-apr1', 'p@ss']);
    const proxy = await startProxy(t, program, {
      configure: async (port, folder) => {
        await writeFile(join(folder, 'hosts'), '127.0.0.1 registry.test\n');
        await writeFile(join(folder, 'users'), `anna:${hash.trim()}\n`);
        return [
          `http_port 127.0.0.1:${port}`,
          `access_log stdio:${join(folder, 'log')}`,
          'cache_log /dev/null',
          'cache deny all',
          'pid_filename none',
          `hosts_file ${join(folder, 'hosts')}`,
          'shutdown_lifetime 0 seconds',
          `auth_param basic program /usr/lib/squid/basic_ncsa_auth ${join(folder, 'users')}`,
          'acl users proxy_auth REQUIRED',
          'http_access allow users',
          'http_access deny all',
          '',
        ].join('\n');
      },
      args: (config) => ['-N', '-f', config],
    });
    await using both = await startBoth();
    const variables = (user: string): Readonly<Record<string, string>> => {
      const url = `http://${user}@127.0.0.1:${proxy.port}`;
      return { HTTPS_PROXY: url, HTTP_PROXY: url };
    };
    await copyThrough(t, variables('anna:p%40ss'), { ...both, host: 'registry.test' });
    assert.deepEqual(both.to.manifest('app', '1'), image.manifest);
    await proxy.logged(`CONNECT registry.test:${portOf(both.from)} anna`);
    await proxy.logged(`PUT http://registry.test:${portOf(both.to)}/v2/app/manifests/1 anna`);

    await assert.rejects(copyThrough(t, variables('anna:wrong'), both), (error: Error) => {
      assert.match(`${error.message} ${(error.cause as Error | undefined)?.message}`, /\(HTTPS_PROXY\): 407/);
      return true;
    });
  },
);

test('copies through tinyproxy', options, async (t) => {
  const program = requireTool(t, 'tinyproxy');
  if (program === undefined) return;
  const proxy = await startProxy(t, program, {
    configure: (port, folder) =>
      `Port ${port}\nListen 127.0.0.1\nLogFile "${join(folder, 'log')}"\nLogLevel Connect\nTimeout 60\nAllow 127.0.0.1\n`,
    args: (config) => ['-d', '-c', config],
  });
  await using both = await startBoth();
  const url = `127.0.0.1:${proxy.port}`;
  await copyThrough(t, { https_proxy: url, http_proxy: url }, both);
  assert.deepEqual(both.to.manifest('app', '1'), image.manifest);
  await proxy.logged(`CONNECT ${HERE}:${portOf(both.from)}`);
  await proxy.logged(`PUT http://${HERE}:${portOf(both.to)}/v2/app/manifests/1`);
});

test('copies through dante, by SOCKS5', options, async (t) => {
  const program = requireTool(t, 'danted');
  if (program === undefined) return;
  const proxy = await startProxy(t, program, {
    configure: (port, folder) =>
      [
        `logoutput: ${join(folder, 'log')}`,
        `internal: 127.0.0.1 port = ${port}`,
        'external: lo',
        'clientmethod: none',
        'socksmethod: none',
        'client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }',
        'socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 log: connect }',
        '',
      ].join('\n'),
    args: (config) => ['-f', config],
  });
  await using both = await startBoth();
  const url = `socks5h://127.0.0.1:${proxy.port}`;
  // It connects to no address that means all.
  const [from, to] = [await onAllAddresses(t, both.from), await onAllAddresses(t, both.to)];
  await copyThrough(t, { HTTPS_PROXY: url, HTTP_PROXY: url }, { from, to, host: NAME });
  assert.deepEqual(both.to.manifest('app', '1'), image.manifest);
  for (const registry of [from, to]) await proxy.logged(portOf(registry));
});
