import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { dumpBody } from '../../../src/http/send/body.ts';
import { NetworkError } from '../../../src/http/send/network-error.ts';
import type { HttpRequest, HttpResponse, Send } from '../../../src/http/send/send.ts';
import { Trust } from '../../../src/http/connect/trust.ts';
import { giveBack, takeSlab } from '../../../src/io/slabs.ts';
import { openConnections, type ConnectionsOptions } from '../../../src/http/send/undici-send.ts';

const trust = new Trust({ env: {} }).of('127.0.0.1', {});

interface Client {
  /** Sends to the server; a path in the place of a URL. */
  readonly send: (request: Partial<Omit<HttpRequest, 'url'>> & { readonly path?: string }) => Promise<HttpResponse>;
  /** How many connections have carried requests. */
  readonly connections: () => number;
}

/** A server that answers as it is told, and a client of it. */
async function serve(
  t: TestContext,
  listener: RequestListener,
  options: Partial<ConnectionsOptions> = {},
): Promise<Client> {
  const used = new Set<Socket>();
  const server = createServer((request, response) => {
    used.add(request.socket);
    listener(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { send } = client(t, options);
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    send: ({ path = '/', ...request }) =>
      send({ method: 'GET', side: 'destination', ...request, url: new URL(path, origin) }),
    connections: () => used.size,
  };
}

function client(t: TestContext, options: Partial<ConnectionsOptions>): { readonly send: Send } {
  const connections = openConnections({
    trust,
    ownHost: '127.0.0.1',
    idleTimeoutMs: 10_000,
    connections: 16,
    ...options,
  });
  t.after(async () => await connections[Symbol.asyncDispose]());
  return connections;
}

/** Tells what came: method, path, how the body was framed, and the body. */
async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method, url, headers } = request;
  const framing = headers['content-length'] ?? headers['transfer-encoding'];
  response.setHeader('x-echo', JSON.stringify({ method, url, framing, body: await text(request) }));
  response.end();
}

function isNetworkError(failure: NetworkError['failure']): (error: unknown) => boolean {
  return (error) => error instanceof NetworkError && error.failure === failure;
}

test('sends method, path and query, and frames each kind of body', async (t) => {
  const { send } = await serve(t, (request, response) => void echo(request, response));
  const cases: readonly [request: Partial<HttpRequest>, framing: string | undefined, body: string][] = [
    [{ method: 'GET' }, undefined, ''],
    [{ method: 'POST', body: new Uint8Array() }, '0', ''],
    [{ method: 'PUT', body: Buffer.from('bytes') }, '5', 'bytes'],
    [{ method: 'PATCH', body: Readable.from([Buffer.from('str'), Buffer.from('eam')]), bodyLength: 6 }, '6', 'stream'],
    [{ method: 'PATCH', body: Readable.from([Buffer.from('stream')]) }, 'chunked', 'stream'],
    [{ method: 'PUT', body: () => Readable.from([Buffer.from('made')]), bodyLength: 4 }, '4', 'made'],
  ];
  for (const [request, framing, body] of cases) {
    const response = await send({ ...request, path: '/v2/app/?digest=sha256%3Aab&x=1' });
    const seen = JSON.parse(String(response.headers['x-echo'])) as object;
    assert.deepEqual(seen, {
      method: request.method,
      url: '/v2/app/?digest=sha256%3Aab&x=1',
      ...(framing !== undefined && { framing }),
      body,
    });
    await dumpBody(response);
  }
});

test('hands back status, headers in the order they came, and the body as it is', async (t) => {
  const { send } = await serve(t, (_request, response) => {
    response.writeHead(401, ['WWW-Authenticate', 'Basic', 'WWW-Authenticate', 'Bearer', 'Content-Encoding', 'gzip']);
    response.end('not gzip at all');
  });
  const { status, headers, body, url } = await send({ path: '/v2/' });
  assert.deepEqual([status, headers['www-authenticate'], url.pathname], [401, ['Basic', 'Bearer'], '/v2/']);
  assert.equal(await text(body), 'not gzip at all');
});

test('follows no redirects by itself', async (t) => {
  const { send } = await serve(t, (_request, response) => response.writeHead(307, { location: '/other' }).end());
  assert.equal((await send({})).status, 307);
});

test('keeps one connection for requests one after the other, HEAD among them (behaviour 53)', async (t) => {
  const { send, connections } = await serve(t, (request, response) => {
    request.resume();
    response.setHeader('content-length', 1_000_000);
    response.end(request.method === 'HEAD' ? undefined : Buffer.alloc(1_000_000));
  });
  for (const method of ['HEAD', 'GET', 'HEAD', 'HEAD'] as const) {
    const response = await send({ method });
    if (method === 'GET') await buffer(response.body);
    await dumpBody(response);
  }
  assert.equal(connections(), 1);
});

test('uses no more connections to a host than allowed', async (t) => {
  const { send, connections } = await serve(t, (_request, response) => response.end('yes'), { connections: 3 });
  const statuses = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const response = await send({});
      await dumpBody(response);
      return response.status;
    }),
  );
  assert.equal(statuses.length, 20);
  assert.ok(connections() <= 3);
});

test('says that nobody listens there', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  server.close();
  await once(server, 'close');
  const { send } = client(t, {});
  await assert.rejects(send({ method: 'GET', url, side: 'source' }), isNetworkError('refused'));
});

test('says that the connection was lost', async (t) => {
  const { send } = await serve(t, (request) => request.socket.resetAndDestroy());
  await assert.rejects(send({}), isNetworkError('lost'));
});

test('gives up on a host that is silent before its answer, or in the middle of it (behaviour 52)', async (t) => {
  const silent = await serve(t, (request) => void request.resume(), { idleTimeoutMs: 50 });
  await assert.rejects(silent.send({}), isNetworkError('timeout'));
  await assert.rejects(silent.send({ method: 'PUT', body: Buffer.from('bytes') }), isNetworkError('timeout'));
  const stuck = await serve(t, (_request, response) => response.writeHead(200).write('half'), { idleTimeoutMs: 50 });
  const { body } = await stuck.send({});
  await assert.rejects(text(body), { code: 'UND_ERR_BODY_TIMEOUT' });
});

test('gives up on a host that stops reading the body that it is sent', async (t) => {
  const { send } = await serve(t, (request) => void request.pause(), { idleTimeoutMs: 50 });
  const endless = Readable.from(
    (function* () {
      for (;;) yield Buffer.alloc(1024 * 1024);
    })(),
    { objectMode: false },
  );
  await assert.rejects(send({ method: 'PATCH', body: endless }), isNetworkError('timeout'));
  assert.equal(endless.destroyed, true);
});

test('bears with a body whose source is slow, and with a host that was given more time', async (t) => {
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    void text(request).then((body) => setTimeout(() => response.end(body), request.method === 'PUT' ? 200 : 0));
  };
  const { send } = await serve(t, listener, { idleTimeoutMs: 50 });
  const slow = new Readable({ read: () => undefined });
  slow.push('first ');
  setTimeout(() => {
    slow.push('second');
    slow.push(null);
  }, 200);
  assert.equal(await text((await send({ method: 'PATCH', body: slow })).body), 'first second');
  const patient = await send({ method: 'PUT', body: Buffer.from('bytes'), headersTimeoutMs: 5_000 });
  assert.equal(await text(patient.body), 'bytes');
});

test('ends a request when its signal is aborted, its body too', async (t) => {
  const controller = new AbortController();
  const { signal } = controller;
  const { send } = await serve(t, (request) => void request.once('data', () => controller.abort()));
  const stream = new Readable({ read: () => undefined });
  stream.push('first');
  await assert.rejects(send({ method: 'PATCH', body: stream, signal }), { name: 'AbortError' });
  assert.equal(stream.destroyed, true);
  await assert.rejects(send({ signal }), { name: 'AbortError' });
});

test('ends at once when it is aborted before it has a connection', async (t) => {
  const mute = createTcpServer();
  t.after(() => mute.close());
  mute.listen(0, '127.0.0.1');
  await once(mute, 'listening');
  const url = new URL(`https://127.0.0.1:${(mute.address() as AddressInfo).port}/`);
  const { send } = client(t, {});
  const controller = new AbortController();
  const sent = send({ method: 'GET', url, side: 'source', signal: controller.signal });
  const [socket] = (await once(mute, 'connection')) as [Socket];
  t.after(() => socket.destroy());
  controller.abort();
  await assert.rejects(sent, { name: 'AbortError' });
});

test('hands the error of a body on as it is', async (t) => {
  const { send } = await serve(t, (request) => void request.resume());
  const failure = new TypeError('the source failed');
  const stream = new Readable({ read: () => undefined });
  stream.push('first');
  setImmediate(() => stream.destroy(failure));
  await assert.rejects(send({ method: 'PATCH', body: stream }), failure);
});

test('a body that is sent once gives its memory back, one that may be sent again keeps it', async (t) => {
  const { send } = await serve(t, (request, response) => void request.resume().once('end', () => response.end()));
  const put = async (bodyOf: (slabs: readonly Buffer[]) => HttpRequest['body']): Promise<readonly Buffer[]> => {
    const slabs = Array.from({ length: 4 }, () => takeSlab().fill('x'));
    await dumpBody(await send({ method: 'PUT', body: bodyOf(slabs) }));
    return slabs;
  };
  const sentOnce = await put((slabs) => Readable.from(slabs));
  assert.ok(freeSlabs().has(sentOnce[0]?.buffer as ArrayBufferLike));
  const resendable = await put((slabs) => () => Readable.from(slabs));
  const free = freeSlabs();
  assert.ok(resendable.every(({ buffer: memory }) => !free.has(memory)));
});

/** The memory of the slabs that are handed out next, which were given back. */
function freeSlabs(): ReadonlySet<ArrayBufferLike> {
  const slabs = Array.from({ length: 100 }, takeSlab);
  slabs.forEach(giveBack);
  return new Set(slabs.map(({ buffer: memory }) => memory));
}
