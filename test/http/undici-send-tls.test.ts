import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import { connect, type AddressInfo, type Server } from 'node:net';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { NetworkError } from '../../src/http/network-error.ts';
import { openConnections, type ConnectionsOptions, type TlsOptions } from '../../src/http/undici-send.ts';
import { selfSignedCertificate } from '../support/certificate.ts';

const { key, cert } = selfSignedCertificate();
const sayYes: RequestListener = (request, response) => response.end(`yes to ${request.headers.host}`);

/** Listens on a free port, which it returns. */
async function listen(t: TestContext, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function serveTls(t: TestContext, options: ServerOptions = {}): Promise<string> {
  return `https://127.0.0.1:${await listen(t, createTlsServer({ key, cert, ...options }, sayYes))}/`;
}

/** The text that comes from a URL. */
async function get(url: string, { env, ...tls }: TlsOptions & Pick<ConnectionsOptions, 'env'>): Promise<string> {
  await using connections = openConnections({
    tls: () => Promise.resolve(tls),
    idleTimeoutMs: 10_000,
    connections: 4,
    env,
  });
  const { body } = await connections.send({ method: 'GET', url: new URL(url), side: 'source' });
  return await text(body);
}

test('refuses a certificate that nobody vouches for, and says how it could be taken', async (t) => {
  await assert.rejects(get(await serveTls(t), {}), (error) => {
    assert.ok(error instanceof NetworkError);
    assert.deepEqual([error.code, error.side], ['ERR_TLS_CERTIFICATE', 'source']);
    assert.match(error.hint ?? '', /--ca-file.*--tls-verify=false/);
    return true;
  });
});

test('takes it without a check, or when its authority is given', async (t) => {
  const url = await serveTls(t);
  for (const options of [{ verify: false }, { ca: [cert] }, { ca: [Buffer.from(cert)] }]) {
    assert.match(await get(url, options), /^yes to 127/);
  }
});

test('refuses a certificate for another name, even from an authority that was given', async (t) => {
  const other = selfSignedCertificate(['other.test']);
  const url = await serveTls(t, other);
  await assert.rejects(get(url, { ca: [other.cert] }), { code: 'ERR_TLS_CERTIFICATE' });
});

test('shows its own certificate where the server asks for one', async (t) => {
  const mine = selfSignedCertificate(['client.test']);
  const url = await serveTls(t, { requestCert: true, rejectUnauthorized: true, ca: mine.cert });
  assert.match(await get(url, { ca: [cert], cert: mine.cert, key: mine.key }), /^yes/);
  await assert.rejects(get(url, { ca: [cert] }), NetworkError);
});

test('says that the peer does not speak TLS', async (t) => {
  const port = await listen(t, createServer(sayYes));
  await assert.rejects(get(`https://127.0.0.1:${port}/`, {}), { code: 'ERR_TLS' });
});

/** A proxy that leads every tunnel to one port; it notes what it is asked for. */
async function proxyTo(t: TestContext, port: number, status = 200): Promise<{ url: string; tunnels: string[] }> {
  const tunnels: string[] = [];
  const proxy = createServer();
  proxy.on('connect', (request: { url?: string }, socket: Duplex) => {
    tunnels.push(request.url ?? '');
    socket.on('error', () => undefined);
    socket.write(`HTTP/1.1 ${status} as told\r\n\r\n`);
    if (status !== 200) return socket.end();
    const onward = connect(port, '127.0.0.1');
    onward.on('error', () => socket.destroy());
    return socket.pipe(onward).pipe(socket);
  });
  return { url: `http://127.0.0.1:${await listen(t, proxy)}`, tunnels };
}

test('goes through the proxy that the environment names, in either case', async (t) => {
  const named = selfSignedCertificate(['registry.test']);
  const port = await listen(t, createTlsServer(named, sayYes));
  for (const name of ['HTTPS_PROXY', 'https_proxy']) {
    const proxy = await proxyTo(t, port);
    const answer = await get('https://registry.test/v2/', { env: { [name]: proxy.url }, ca: [named.cert] });
    assert.deepEqual([answer, proxy.tunnels], ['yes to registry.test', ['registry.test:443']]);
  }
});

test('goes around the proxy to hosts of NO_PROXY, and to this machine', async (t) => {
  const proxy = await proxyTo(t, 0);
  const env = { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url, NO_PROXY: 'unknown.invalid' };
  assert.match(await get(`http://127.0.0.1:${await listen(t, createServer(sayYes))}/`, { env }), /^yes/);
  await assert.rejects(get('https://unknown.invalid/', { env }), { code: 'ERR_NAME_NOT_RESOLVED' });
  assert.deepEqual(proxy.tunnels, []);
});

test('looks for proxies in the environment that it was given, and nowhere else', async (t) => {
  const proxy = await proxyTo(t, 0);
  t.after(() => delete process.env['HTTPS_PROXY']);
  process.env['HTTPS_PROXY'] = proxy.url;
  for (const env of [{}, { HTTP_PROXY: 'http://127.0.0.1:1' }]) {
    await assert.rejects(get('https://unknown.invalid/', { env }), NetworkError);
  }
  assert.deepEqual(proxy.tunnels, []);
});

test('takes the refusal of a proxy for a failure of the network, not for an abort', async (t) => {
  const proxy = await proxyTo(t, 0, 407);
  await assert.rejects(get('https://registry.test/', { env: { HTTPS_PROXY: proxy.url } }), (error) => {
    assert.ok(error instanceof NetworkError);
    assert.equal(error.code, 'ERR_PROXY');
    assert.match(error.message, /407/);
    return true;
  });
});
