import { on, once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import { connect, createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

/** Says yes, and under which name it was asked. */
export const sayYes: RequestListener = (request, response) => response.end(`yes to ${request.headers.host}`);

/** Listens on a free port of an address of this machine, until the test ends. @returns the port. */
export async function listen(t: TestContext, server: Server, address: string = '127.0.0.1'): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  server.listen(0, address);
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

/** What a TLS server has seen. */
export interface SeenTls {
  readonly port: number;
  /** TCP connections. */
  readonly connections: () => number;
  /** For each handshake that succeeded, whether it resumed a session. */
  readonly handshakes: readonly { readonly resumed: boolean; readonly client: string | undefined }[];
}

/** A server that speaks TLS. */
export async function serveTls(
  t: TestContext,
  options: ServerOptions,
  listener: RequestListener = sayYes,
): Promise<SeenTls> {
  const handshakes: { resumed: boolean; client: string | undefined }[] = [];
  let connections = 0;
  const server = createTlsServer(options, listener);
  server.on('connection', () => (connections += 1));
  server.on('secureConnection', (socket) => {
    handshakes.push({ resumed: socket.isSessionReused(), client: socket.getPeerCertificate()?.fingerprint256 });
  });
  return { port: await listen(t, server), connections: () => connections, handshakes };
}

/** A proxy that leads every tunnel to one port; it notes the head of each request for one. */
export interface TestProxy {
  readonly port: number;
  readonly tunnels: readonly string[];
  /** The value of Proxy-Authorization of each. */
  readonly users: readonly (string | undefined)[];
}

export async function proxyTo(
  t: TestContext,
  port: number,
  { status = 200, tls }: { readonly status?: number; readonly tls?: ServerOptions } = {},
): Promise<TestProxy> {
  const tunnels: string[] = [];
  const users: (string | undefined)[] = [];
  const proxy = tls === undefined ? createServer() : createTlsServer(tls);
  proxy.on('connect', (request, socket) => {
    tunnels.push(request.url ?? '');
    users.push(request.headers['proxy-authorization']);
    socket.on('error', () => undefined);
    socket.write(`HTTP/1.1 ${status} as told\r\n\r\n`);
    if (status !== 200) return void socket.end();
    const onward = connect(port, '127.0.0.1');
    onward.on('error', () => socket.destroy());
    socket.on('close', () => onward.destroy());
    return void socket.pipe(onward).pipe(socket);
  });
  return { port: await listen(t, proxy), tunnels, users };
}

/**
 * A SOCKS5 proxy that leads to one port, for one user; it notes the names that it is asked for.
 * @see https://www.rfc-editor.org/rfc/rfc1928
 */
export async function socksTo(
  t: TestContext,
  port: number,
  user: { readonly name: string; readonly password: string },
): Promise<{ readonly port: number; readonly asked: readonly string[] }> {
  const asked: string[] = [];
  const serve = async (socket: Socket): Promise<void> => {
    const packets = on(socket, 'data') as AsyncIterator<[Buffer]>;
    const read = async (): Promise<Buffer> => ((await packets.next()).value as [Buffer])[0];
    await read();
    socket.write(Buffer.of(5, 2));
    const login = await read();
    const end = 2 + (login[1] ?? 0);
    const [name, password] = [login.toString('utf8', 2, end), login.toString('utf8', end + 1)];
    const isRight = `${name}:${password}` === `${user.name}:${user.password}`;
    socket.write(Buffer.of(1, isRight ? 0 : 1));
    if (!isRight) return;
    const wanted = await read();
    const host = wanted.toString('utf8', 5, wanted.length - 2);
    asked.push(`${host}:${wanted.readUInt16BE(wanted.length - 2)}`);
    socket.removeAllListeners('data').pause();
    const onward = connect(port, '127.0.0.1');
    onward.on('error', () => socket.destroy());
    socket.on('close', () => onward.destroy());
    socket.write(Buffer.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
    socket.pipe(onward).pipe(socket);
  };
  const server = createTcpServer((socket) => {
    socket.on('error', () => undefined);
    serve(socket).catch(() => socket.destroy());
  });
  return { port: await listen(t, server), asked };
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
