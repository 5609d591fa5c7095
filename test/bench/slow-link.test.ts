import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { startSlowLink, type SlowLink } from '../../bench/slow-link.ts';
import { spawnSlowLink } from '../../bench/slow-link-process.ts';

test('carries bytes in both directions, in order, and counts them', async (t) => {
  const line = await lineToEcho(t);
  const sent = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251));
  const socket = connectTo(line);
  socket.end(sent);
  assert.ok(sent.equals(await buffer(socket)));
  assert.deepEqual(await line.traffic(), { up: sent.length, down: sent.length, connections: 1 });
});

test('passes the end of one half on while the other half stays open', async (t) => {
  const line = await lineTo(t, async (socket) => {
    const question = await text(socket);
    socket.end(`heard ${question}`);
  });
  const socket = connectTo(line);
  socket.end('hello');
  assert.equal(await text(socket), 'heard hello');
});

test('delivers what was under way when the target closed', async (t) => {
  const answer = Buffer.alloc(200_000, 'x');
  const line = await lineTo(t, (socket) => socket.end(answer));
  const socket = connectTo(line);
  socket.end();
  assert.ok(answer.equals(await buffer(socket)));
});

test('passes a reset of the target on to the client', async (t) => {
  const line = await lineTo(t, (socket) => {
    socket.once('data', () => socket.resetAndDestroy());
  });
  const socket = connectTo(line);
  socket.write('x');
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNRESET');
});

test('ends the connection of a client whose target refuses it', async (t) => {
  const server = createServer();
  const target = await listen(server);
  server.close();
  const line = await startSlowLink({ target, roundTripMs: 2, bytesPerSecondPerConnection: 1e9 });
  t.after(() => line.close());
  const socket = connectTo(line);
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('close', resolve));
});

test('runs in a process of its own, with the same answers', async (t) => {
  const target = await listenTo(t, (socket) => socket.pipe(socket));
  const line = await spawnSlowLink({ target, roundTripMs: 2, bytesPerSecondPerConnection: 1e9 });
  t.after(() => line.close());
  const socket = connectTo(line);
  socket.end('hello');
  assert.equal(await text(socket), 'hello');
  assert.deepEqual(await line.traffic(), { up: 5, down: 5, connections: 1 });
});

async function lineToEcho(t: TestContext): Promise<SlowLink> {
  return await lineTo(t, (socket) => socket.pipe(socket));
}

async function lineTo(t: TestContext, serve: (socket: Socket) => unknown): Promise<SlowLink> {
  const target = await listenTo(t, serve);
  const line = await startSlowLink({ target, roundTripMs: 2, bytesPerSecondPerConnection: 1e9 });
  t.after(() => line.close());
  return line;
}

async function listenTo(t: TestContext, serve: (socket: Socket) => unknown): Promise<string> {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    serve(socket);
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return await listen(server);
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function connectTo(line: SlowLink): Socket {
  const { hostname, port } = new URL(`tcp://${line.host}`);
  return connect({ host: hostname, port: Number(port), allowHalfOpen: true });
}
