import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, Socket } from 'node:net';
import { getCACertificates, setDefaultCACertificates, type TLSSocket } from 'node:tls';
import { test, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Side } from '../../../src/errors/imgcopy-error.ts';
import { Connector } from '../../../src/http/connect/connector.ts';
import { ConnectionOpener, type Target } from '../../../src/http/connect/connection-opener.ts';
import { proxiesOf } from '../../../src/http/connect/proxy.ts';
import { Trust, type TlsSettings } from '../../../src/http/connect/trust.ts';
import { writeAuthority } from '../../support/certificate-files.ts';
import { selfSignedCertificate } from '../../support/certificate.ts';
import { listen, serveTls } from '../../support/http-servers.ts';
import { startRealRegistry } from '../../support/real-registries.ts';
import { requireTool } from '../../support/real-tools.ts';

const certificate = selfSignedCertificate();
const AHEAD = 15;
const options = { timeout: 20_000 };

interface Client {
  readonly connector: Connector;
  /** Opens a connection, as undici would. */
  readonly connect: (target: Target) => Promise<Socket>;
  /** Asks for the first answer of a host that keeps silent for as long as it takes to count as far. */
  readonly askFar: (target: Target, side?: Side) => void;
}

interface ClientOptions {
  readonly tls?: TlsSettings;
  readonly env?: Readonly<Record<string, string>>;
  /** Default: one that opens real connections. */
  readonly opener?: FakeOpener;
  /** Gets the time to wait in ms, and what to do then. Default: nothing is waited for. */
  readonly setTimer?: (callback: () => void, ms: number) => void;
}

function openClient(
  t: TestContext,
  { tls = {}, env = {}, opener: fake, setTimer: wait = (callback) => callback() }: ClientOptions = {},
): Client {
  const trust = new Trust({ env }).of('127.0.0.1', tls);
  const real = new ConnectionOpener({ trust, ownHost: '', proxyFor: proxiesOf(env), timeoutMs: 10_000 });
  const opener = fake === undefined ? real : (fake as unknown as ConnectionOpener);
  const setTimer = (callback: () => void, ms: number): NodeJS.Timeout => {
    wait(callback, ms);
    return setTimeout(() => undefined, 0);
  };
  const connector = new Connector({ opener, setTimer });
  t.after(() => connector.close());
  return {
    connector,
    connect: (target) =>
      new Promise((resolve, reject) => {
        connector.connect(target, (error, socket) => (error === null ? resolve(socket) : reject(error)));
      }),
    askFar: ({ protocol, host }, side = 'destination') =>
      void connector.expectAnswer(new URL(`${protocol}//${host}/`), side),
  };
}

function targetOf(protocol: 'http:' | 'https:', port: number): Target {
  return { protocol, host: `127.0.0.1:${port}`, hostname: '127.0.0.1', port: `${port}` };
}

/** The server hears of a connection a little after the client. */
async function atLeast(wanted: number, count: () => number): Promise<void> {
  while (count() < wanted) await nextTurn();
}

async function servePlain(t: TestContext): Promise<{ readonly port: number; readonly connections: () => number }> {
  let connections = 0;
  const server = createServer(() => (connections += 1));
  return { port: await listen(t, server), connections: () => connections };
}

test('opens further connections to a far host, and hands them out in place of new ones', options, async (t) => {
  const server = await servePlain(t);
  const { connect, askFar } = openClient(t);
  const target = targetOf('http:', server.port);
  const first = connect(target);
  askFar(target);
  askFar(target);
  const sockets = await Promise.all([first, ...Array.from({ length: AHEAD }, () => connect(target))]);
  assert.equal(new Set(sockets).size, AHEAD + 1);
  await atLeast(AHEAD + 1, server.connections);
  assert.equal(server.connections(), AHEAD + 1);
  await connect(target);
  await atLeast(AHEAD + 2, server.connections);
  assert.equal(server.connections(), AHEAD + 2);
});

test('opens fewer to a source, which is asked for a blob once', options, async (t) => {
  const server = await servePlain(t);
  const { connect, askFar } = openClient(t);
  const target = targetOf('http:', server.port);
  askFar(target, 'source');
  await Promise.all(Array.from({ length: 8 }, () => connect(target)));
  await atLeast(8, server.connections);
  assert.equal(server.connections(), 8);
});

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`resumes the session of the first handshake in all others to a far host (${version})`, options, async (t) => {
    const server = await serveTls(t, { ...certificate, minVersion: version, maxVersion: version });
    const { connect, askFar } = openClient(t, { tls: { caFile: await writeAuthority(t, certificate.cert) } });
    const target = targetOf('https:', server.port);
    const first = connect(target);
    // By TLS 1.3 the session comes after the handshake.
    if (version === 'TLSv1.3') await once(await first, 'session');
    askFar(target);
    await Promise.all([first, ...Array.from({ length: AHEAD }, () => connect(target))]);
    await atLeast(AHEAD + 1, () => server.handshakes.length);
    assert.equal(server.connections(), AHEAD + 1);
    const resumed = server.handshakes.filter((handshake) => handshake.resumed);
    assert.deepEqual([server.handshakes.length, resumed.length], [AHEAD + 1, AHEAD]);
  });
}

test(
  'begins the handshakes of spare connections after the first request, or once one of them is wanted',
  options,
  async (t) => {
    const server = await serveTls(t, certificate);
    const caFile = await writeAuthority(t, certificate.cert);
    const far = (callback: () => void, ms: number): void => void (ms === 10 && callback());
    const { connect, askFar } = openClient(t, { tls: { caFile }, setTimer: far });
    const target = targetOf('https:', server.port);
    const first = connect(target);
    askFar(target);
    const socket = await first;
    await atLeast(AHEAD + 1, server.connections);
    socket.write(`GET / HTTP/1.1\r\nhost: ${target.host}\r\n\r\n`);
    await once(socket, 'data');
    assert.equal(server.handshakes.length, 1, 'the answer comes before any other handshake');
    await connect(target);
    await atLeast(AHEAD + 1, () => server.handshakes.length);
  },
);

test('resumes it too where a real registry sends the session right after its handshake', options, async (t) => {
  const program = requireTool(t, 'registry');
  if (program === undefined) return;
  // Whoever waits for the registry to serve has to trust it.
  setDefaultCACertificates([...getCACertificates(), certificate.cert]);
  const registry = await startRealRegistry(program, { tls: certificate });
  t.after(() => registry.stop());
  const { connect, askFar } = openClient(t, { tls: { caFile: await writeAuthority(t, certificate.cert) } });
  const target = targetOf('https:', Number(registry.host.split(':')[1]));
  const first = connect(target);
  askFar(target);
  await first;
  const others = await Promise.all(Array.from({ length: AHEAD }, () => connect(target)));
  assert.deepEqual(
    others.map((socket) => (socket as TLSSocket).isSessionReused()),
    others.map(() => true),
  );
});

test('the first request has the connection that was prepared for it', options, async (t) => {
  const server = await serveTls(t, certificate);
  const { connector, connect } = openClient(t, { tls: { caFile: await writeAuthority(t, certificate.cert) } });
  const target = targetOf('https:', server.port);
  for (let count = 0; count < 2; count += 1) connector.prepare(new URL(`https://${target.host}/`));
  await atLeast(1, () => server.handshakes.length);
  await connect(target);
  assert.deepEqual([server.connections(), server.handshakes.length], [1, 1]);
  await connect(target);
  assert.equal(server.connections(), 2);
});

test('begins no other handshake where the first one fails', options, async (t) => {
  const server = await serveTls(t, certificate);
  const { connect, askFar } = openClient(t);
  const target = targetOf('https:', server.port);
  const first = connect(target);
  askFar(target);
  await assert.rejects(first, { failure: 'certificate' });
  await assert.rejects(connect(target), { failure: 'certificate' });
  assert.ok(server.handshakes.length <= 2, `${server.handshakes.length} handshakes`);
});

test('opens no further connections through a proxy', options, async (t) => {
  const proxy = await servePlain(t);
  const { connector, connect, askFar } = openClient(t, { env: { HTTP_PROXY: `http://127.0.0.1:${proxy.port}` } });
  const target: Target = { protocol: 'http:', host: 'registry.test', hostname: 'registry.test', port: '' };
  connector.prepare(new URL('http://registry.test/'));
  askFar(target);
  await connect(target);
  await atLeast(1, proxy.connections);
  assert.equal(proxy.connections(), 1);
});

/** Connections that a test opens, or fails to. */
class FakeOpener {
  readonly #asked: ReturnType<typeof Promise.withResolvers<Socket>>[] = [];
  /** What each connection waits for between TCP and TLS. */
  readonly beforeTls: (() => Promise<unknown> | undefined)[] = [];
  isClosed = false;

  get count(): number {
    return this.#asked.length;
  }

  open(_target: Target, beforeTls: () => Promise<unknown> | undefined = () => undefined): Promise<Socket> {
    this.beforeTls.push(beforeTls);
    const asked = Promise.withResolvers<Socket>();
    this.#asked.push(asked);
    return asked.promise;
  }

  sessionOf(): Promise<void> {
    return Promise.resolve();
  }

  proxyFor(): undefined {
    return undefined;
  }

  close(): void {
    this.isClosed = true;
  }

  /** @param index  of the connection, in the order they were asked for. */
  async succeed(index: number): Promise<Socket> {
    const socket = Object.defineProperty(new Socket(), 'readyState', { value: 'open' });
    this.#asked[index]?.resolve(socket);
    await nextTurn();
    return socket;
  }

  async fail(index: number): Promise<void> {
    this.#asked[index]?.reject(new Error(`connection ${index} failed`));
    await nextTurn();
  }
}

const anywhere = targetOf('http:', 8080);

test('hands out no connection that was closed while nobody wanted it', async (t) => {
  const opener = new FakeOpener();
  const { connect, askFar } = openClient(t, { opener });
  askFar(anywhere);
  const [lost, open] = [await opener.succeed(0), await opener.succeed(1)];
  lost.destroy();
  assert.equal(await connect(anywhere), open);
  assert.equal(opener.count, AHEAD);
});

test('closes a connection that nobody has wanted for ten seconds, and none that is in use', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const opener = new FakeOpener();
  const { connect, askFar } = openClient(t, { opener });
  askFar(anywhere);
  const [used, unused] = [await opener.succeed(0), await opener.succeed(1)];
  assert.equal(await connect(anywhere), used);
  t.mock.timers.tick(9_999);
  assert.equal(unused.destroyed, false);
  t.mock.timers.tick(1);
  assert.deepEqual([used.destroyed, unused.destroyed], [false, true]);
});

test('gives who waits the connection that is there first, and opens a new one where one that it waits for fails', async (t) => {
  const opener = new FakeOpener();
  const { connect, askFar } = openClient(t, { opener });
  askFar(anywhere);
  const [first, second] = [connect(anywhere), connect(anywhere)];
  await nextTurn();
  assert.equal(opener.count, AHEAD, 'both wait for those that are being opened');
  const socket = await opener.succeed(3);
  assert.equal(await first, socket);
  await opener.fail(0);
  assert.equal(opener.count, AHEAD + 1);
  const anew = await opener.succeed(AHEAD);
  assert.equal(await second, anew);
});

const far = new URL(`http://${anywhere.host}/`);

/** A far host with so many connections that are in use. */
async function openFar(
  t: TestContext,
  busy: number,
): Promise<{ readonly connector: Connector; readonly opener: FakeOpener }> {
  const opener = new FakeOpener();
  const { connector } = openClient(t, { opener });
  connector.expectAnswer(far, 'destination');
  for (let index = 0; index < AHEAD; index += 1) await opener.succeed(index);
  for (let count = 0; count < busy; count += 1) await connector.turn(far, undefined);
  return { connector, opener };
}

test('a request to a far host goes over the connection that is there first: one that has become free, or a new one', async (t) => {
  const { connector, opener } = await openFar(t, AHEAD - 1);
  const end = await connector.turn(far, undefined);
  const [first, second] = [connector.turn(far, undefined), connector.turn(far, undefined)];
  assert.equal(opener.count, AHEAD + 2, 'one is opened for each that waits');
  end();
  await first;
  const third = connector.turn(far, undefined);
  assert.equal(opener.count, AHEAD + 2, 'that which the first one did not need is for the third');
  await opener.succeed(AHEAD + 1);
  await second;
  await opener.succeed(AHEAD);
  await third;
});

test('has connections opened for up to 32 requests that wait for their turn at a far host, and for none that is alone', async (t) => {
  const { connector, opener } = await openFar(t, 0);
  const ends = Array.from({ length: AHEAD }, () => connector.announce(far));
  assert.equal(opener.count, AHEAD, 'there are as many');
  for (let count = 0; count < 40; count += 1) connector.announce(far);
  assert.equal(opener.count, 32);
  for (const end of ends) end();
  const near = { ...anywhere, host: '127.0.0.1:8081', port: '8081' };
  for (let count = 0; count < 40; count += 1) connector.announce(new URL(`http://${near.host}/`));
  assert.equal(opener.count, 32, 'near ones are opened when they are needed');
});

test('who waits for a connection that fails, or is closed, goes and is told', async (t) => {
  const { connector, opener } = await openFar(t, AHEAD);
  const waiting = connector.turn(far, undefined);
  await opener.fail(AHEAD);
  await waiting;
  const next = connector.turn(far, undefined);
  (await opener.succeed(AHEAD + 1)).destroy();
  (await opener.succeed(AHEAD + 2)).destroy();
  await next;
});

test('who waits for a connection can be aborted, and the next one has it', async (t) => {
  const { connector, opener } = await openFar(t, AHEAD);
  const controller = new AbortController();
  const aborted = connector.turn(far, controller.signal);
  const next = connector.turn(far, undefined);
  controller.abort(new Error('enough'));
  await assert.rejects(aborted, /enough/);
  await opener.succeed(AHEAD);
  await next;
});

test('a prepared connection that fails is reported to who asks for it, and one that was closed is opened anew', async (t) => {
  const opener = new FakeOpener();
  const { connector, connect } = openClient(t, { opener });
  const url = new URL(`http://${anywhere.host}/`);
  connector.prepare(url);
  await opener.fail(0);
  await assert.rejects(connect(anywhere), /connection 0 failed/);
  const other = { ...anywhere, host: '127.0.0.1:8081', port: '8081' };
  connector.prepare(new URL(`http://${other.host}/`));
  (await opener.succeed(1)).destroy();
  const next = connect(other);
  await nextTurn();
  assert.equal(await opener.succeed(2), await next);
});

test('a failure is reported to who asked for the connection, and no later one waits for it', async (t) => {
  const opener = new FakeOpener();
  const { connect } = openClient(t, { opener });
  const failing = connect(anywhere);
  await nextTurn();
  await Promise.all([assert.rejects(failing, /connection 0 failed/), opener.fail(0)]);
  const next = connect(anywhere);
  await nextTurn();
  assert.equal(await opener.succeed(1), await next);
});

test('where the first connection fails, the handshakes of others follow the next one', async (t) => {
  const opener = new FakeOpener();
  const { connect, askFar } = openClient(t, { opener });
  const failing = connect(anywhere);
  await nextTurn();
  await Promise.all([assert.rejects(failing, /connection 0 failed/), opener.fail(0)]);
  const next = connect(anywhere);
  await nextTurn();
  await opener.succeed(1);
  await next;
  askFar(anywhere);
  assert.equal(opener.count, 2 + AHEAD);
  await opener.beforeTls[2]?.();
});

test('handshakes do not wait where a connection was wanted before its TCP was there', async (t) => {
  const opener = new FakeOpener();
  const atOnce = (callback: () => void, ms: number): void => void (ms === 10 && callback());
  const { connector, askFar } = openClient(t, { opener, setTimer: atOnce });
  askFar(anywhere);
  const waiting = connector.turn(far, undefined);
  await opener.beforeTls[0]?.();
  await opener.succeed(0);
  await waiting;
});

test('after the end, nothing is opened for requests that wait, and none is kept waiting', async (t) => {
  const { connector, opener } = await openFar(t, AHEAD);
  const waiting = connector.turn(far, undefined);
  const { count } = opener;
  connector.close();
  await waiting;
  await connector.turn(far, undefined);
  connector.announce(far);
  assert.equal(opener.count, count);
});

test('closes what is opened only after the end', async (t) => {
  const opener = new FakeOpener();
  const { connector, askFar } = openClient(t, { opener });
  askFar(anywhere);
  connector.close();
  assert.equal(opener.isClosed, true);
  assert.equal((await opener.succeed(0)).destroyed, true);
});

test('closes what was opened and not used, and what is in use', options, async (t) => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined).resume();
  });
  const target = targetOf('http:', await listen(t, server));
  const { connector, connect, askFar } = openClient(t);
  askFar(target);
  await Promise.all([connect(target), connect(target)]);
  await atLeast(AHEAD, () => sockets.length);
  connector.close();
  await Promise.all(sockets.map(async (socket) => socket.closed || (await once(socket, 'close'))));
});
