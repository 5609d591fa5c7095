import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { getDefaultHighWaterMark, Readable, setDefaultHighWaterMark } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Trust } from '../../../src/http/connect/trust.ts';
import { LONG_BODY } from '../../../src/http/send/body-handler.ts';
import type { HttpRequest, HttpResponse } from '../../../src/http/send/send.ts';
import { openConnections } from '../../../src/http/send/undici-send.ts';
import { giveBack, SLAB_BYTES, takeSlab } from '../../../src/io/slabs.ts';
import { selfSignedCertificate } from '../../support/certificate.ts';
import { listen } from '../../support/http-servers.ts';

const content = randomBytes(LONG_BODY + 12_345);
const certificate = selfSignedCertificate(['127.0.0.1']);

interface Client {
  readonly send: (request?: Partial<HttpRequest>) => Promise<HttpResponse>;
  /** Connections that have carried requests. */
  readonly connections: () => number;
  /** Resets all TCP connections, on the server's side. */
  readonly reset: () => void;
}

async function serve(
  t: TestContext,
  scheme: 'http' | 'https',
  listener: RequestListener,
  idleTimeoutMs: number = 10_000,
): Promise<Client> {
  const server = scheme === 'http' ? createServer(listener) : createTlsServer(certificate, listener);
  const used = new Set<Socket>();
  server.on('request', ({ socket }) => used.add(socket));
  const accepted = new Set<Socket>();
  server.on('connection', (socket: Socket) => accepted.add(socket));
  const url = new URL(`${scheme}://127.0.0.1:${await listen(t, server)}/`);
  const trust = new Trust({ env: {} }).of(url.host, { verify: false });
  const connections = openConnections({ trust, ownHost: url.host, idleTimeoutMs, connections: 4 });
  t.after(async () => await connections[Symbol.asyncDispose]());
  return {
    send: (request) =>
      connections.send({ method: 'GET', side: 'source', answerBody: 'stream', givesBack: true, ...request, url }),
    connections: () => used.size,
    reset: () => accepted.forEach((socket) => socket.resetAndDestroy()),
  };
}

/** The client's end of the next connection that a request is sent over. */
function nextSocket(): Promise<Socket> {
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const learn = (message: unknown): void => {
    unsubscribe('undici:client:sendHeaders', learn);
    resolve((message as { readonly socket: Socket }).socket);
  };
  subscribe('undici:client:sendHeaders', learn);
  return promise;
}

/** Sends the content in parts that fit nothing. */
async function sendContent(response: ServerResponse, end: number = content.length): Promise<void> {
  response.writeHead(200, { 'content-length': content.length }).flushHeaders();
  for (let start = 0; start < end;) {
    const part = content.subarray(start, Math.min(end, start + randomInt(1, 300_000)));
    start += part.length;
    if (!response.write(part)) await once(response, 'drain');
  }
}

/** Reads a body, comparing every chunk when it comes, and once more after a while; then gives it back, as if it had been sent. */
async function compare(body: Readable, pause: (index: number) => Promise<unknown>): Promise<readonly number[]> {
  const lengths: number[] = [];
  let position = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    const expected = content.subarray(position, position + chunk.length);
    assert.ok(chunk.equals(expected), `bytes ${position} to ${position + chunk.length}`);
    await pause(lengths.length);
    assert.ok(chunk.equals(expected), `bytes ${position} to ${position + chunk.length}, while they were in use`);
    giveBack(chunk);
    position += chunk.length;
    lengths.push(chunk.length);
  }
  assert.equal(position, content.length);
  return lengths;
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await nextTurn();
}

/** Lets all streams that are made from now on buffer more, until the test ends. */
function raiseStreamBuffers(t: TestContext): void {
  const before = getDefaultHighWaterMark(false);
  t.after(() => setDefaultHighWaterMark(false, before));
  setDefaultHighWaterMark(false, 4 * 1024 * 1024);
}

for (const scheme of ['http', 'https'] as const) {
  test(`reads a long body into slabs, byte for byte, over ${scheme}`, async (t) => {
    const { send, connections } = await serve(t, scheme, (_request, response) => {
      void sendContent(response).then(() => response.end());
    });
    const paces = {
      fast: () => Promise.resolve(),
      slow: () => turns(20),
      uneven: (index: number) => turns((index * 7) % 30),
    };
    for (const [name, pace] of Object.entries(paces)) {
      const { body, headers } = await send();
      assert.equal(headers['content-length'], String(content.length));
      const lengths = await compare(body, pace);
      // Undici's chunks are 64 KiB long at most.
      if (name === 'slow') assert.ok(lengths.includes(SLAB_BYTES), `chunks of ${lengths.join()}`);
    }
    // Undici knows nothing of the body, so no connection is used again.
    assert.equal(connections(), 3);
  });

  test(`leaves a body that is said to be short to undici, over ${scheme}`, async (t) => {
    const { send, connections } = await serve(t, scheme, (_request, response) => {
      void sendContent(response).then(() => response.end());
    });
    for (let count = 0; count < 2; count += 1) {
      const { body } = await send({ isShort: true });
      assert.deepEqual(await buffer(body), content);
      // A turn later, its connection can be used again.
      await turns(2);
    }
    assert.equal(connections(), 1);
  });

  test(`gives the bytes that came before a long body was cut, over ${scheme}`, async (t) => {
    for (const end of [0, 1, 65_536, SLAB_BYTES, SLAB_BYTES + 1, 3_000_000, content.length - 1]) {
      const { send } = await serve(t, scheme, (_request, response) => {
        void sendContent(response, end).then(() => response.socket?.end());
      });
      const { body } = await send();
      const chunks: Buffer[] = [];
      const reading = (async () => {
        for await (const chunk of body as AsyncIterable<Buffer>) chunks.push(Buffer.from(chunk));
      })();
      await assert.rejects(reading, { code: 'UND_ERR_SOCKET' });
      assert.ok(Buffer.concat(chunks).equals(content.subarray(0, end)), `cut after ${end} bytes`);
    }
  });

  test(`a long body whose connection breaks before the first read fails when it is read, over ${scheme}`, async (t) => {
    const { send, reset } = await serve(t, scheme, (_request, response) => {
      response.writeHead(200, { 'content-length': content.length }).flushHeaders();
    });
    const breaks = {
      'the server resets it': async (socket: Socket) => {
        const closed = new Promise((resolve) => socket.once('close', resolve));
        reset();
        await closed;
      },
      // It has no handle any more, and has not emitted 'close' yet.
      'it is being closed': (socket: Socket) => Promise.resolve(socket.destroy()),
    };
    for (const [name, breakIt] of Object.entries(breaks)) {
      const sentOver = nextSocket();
      const { body } = await send();
      await breakIt(await sentOver);
      await assert.rejects(
        buffer(body),
        ({ code }: NodeJS.ErrnoException) => /^(?:ECONNRESET|UND_ERR_SOCKET)$/.test(code ?? ''),
        name,
      );
    }
  });

  test(`a long body whose reader stops in the middle ends with its connection, over ${scheme}`, async (t) => {
    const closed = Promise.withResolvers<void>();
    const { send } = await serve(t, scheme, (request, response) => {
      request.socket.once('close', () => closed.resolve());
      void sendContent(response).catch(() => undefined);
    });
    const { body } = await send();
    for await (const chunk of body as AsyncIterable<Buffer>) {
      assert.ok(chunk.length > 0);
      break;
    }
    await closed.promise;
  });

  test(`an abort ends a long body and its connection, over ${scheme}`, async (t) => {
    const closed = Promise.withResolvers<void>();
    const { send } = await serve(t, scheme, (request, response) => {
      request.socket.once('close', () => closed.resolve());
      response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, 100_000));
    });
    const controller = new AbortController();
    const { body } = await send({ signal: controller.signal });
    const reading = buffer(body);
    await once(body, 'data');
    controller.abort();
    await assert.rejects(reading, { name: 'AbortError' });
    await closed.promise;
  });

  test(`gives up on a long body that falls silent, and not while its reader waits, over ${scheme}`, async (t) => {
    const { send } = await serve(
      t,
      scheme,
      (_request, response) => {
        response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, 3 * SLAB_BYTES));
      },
      200,
    );
    const { body } = await send();
    const bytes: Buffer[] = [];
    const reading = (async () => {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        // Longer than the server may be silent.
        if (bytes.length === 0) await new Promise((resolve) => setTimeout(resolve, 500));
        bytes.push(Buffer.from(chunk));
      }
    })();
    await assert.rejects(reading, { code: 'UND_ERR_BODY_TIMEOUT' });
    assert.ok(Buffer.concat(bytes).equals(content.subarray(0, 3 * SLAB_BYTES)));
  });

  test(`what a server sends after a long body is dropped, over ${scheme}`, async (t) => {
    const { send } = await serve(t, scheme, ({ socket }) => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${content.length}\r\n\r\n`);
      socket.write(content);
      socket.write(Buffer.alloc(200_000, 'x'));
    });
    await compare((await send()).body, () => turns(1));
  });

  test(`a server that does not keep the connection gives all of a long body, over ${scheme}`, async (t) => {
    const { send } = await serve(t, scheme, (_request, response) => {
      response.setHeader('connection', 'close');
      void sendContent(response).then(() => response.end());
    });
    await compare((await send()).body, () => turns(3));
  });

  for (const raised of [false, true]) {
    const when = raised ? `, where the program raised Node's default of what streams buffer` : '';
    test(`bodies that are sent are not overwritten before they have left, over ${scheme}${when}`, async (t) => {
      if (raised) raiseStreamBuffers(t);
      const received = Promise.withResolvers<Buffer>();
      const { send } = await serve(t, scheme, (request, response) => {
        void (async () => {
          const chunks: Buffer[] = [];
          for await (const chunk of request as AsyncIterable<Buffer>) {
            chunks.push(chunk);
            await turns(randomInt(0, 4));
          }
          received.resolve(Buffer.concat(chunks));
          response.end();
        })();
      });
      async function* parts(): AsyncGenerator<Buffer> {
        for (let start = 0; start < content.length;) {
          const slab = takeSlab();
          const filled = content.copy(slab, 0, start, start + randomInt(1, SLAB_BYTES + 1));
          if (filled < slab.length) giveBack(slab.subarray(filled));
          // In parts: small ones wait in the socket's buffer.
          for (let from = 0; from < filled;) {
            const part = slab.subarray(from, Math.min(filled, from + randomInt(1, 100_000)));
            from += part.length;
            yield part;
          }
          start += filled;
          if (start % 3 === 0) await nextTurn();
        }
      }
      const { status } = await send({
        method: 'PUT',
        body: Readable.from(parts()),
        bodyLength: content.length,
        answerBody: undefined,
      });
      assert.equal(status, 200);
      assert.ok((await received.promise).equals(content));
    });
  }
}

test('short bodies, and those of unknown length, keep their connection', async (t) => {
  const { send, connections } = await serve(t, 'http', (request, response) => {
    // Not all at once: Node.js would tell the length.
    if (request.headers['x-kind'] === 'chunked') response.write(content, () => response.end());
    else response.writeHead(200, { 'content-length': LONG_BODY - 1 }).end(content.subarray(0, LONG_BODY - 1));
  });
  for (const kind of ['chunked', 'short', 'chunked']) {
    const { body } = await send({ headers: { 'x-kind': kind } });
    const bytes = await buffer(body);
    assert.ok(bytes.equals(content.subarray(0, bytes.length)));
    await turns(3);
  }
  assert.equal(connections(), 1);
});
