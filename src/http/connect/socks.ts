import type { Socket } from 'node:net';
import { Socks5Client } from 'undici/lib/core/socks5-client.js';

/** Asks a SOCKS5 proxy, over a connection to it, for one to a server; the proxy resolves the name. */
export async function openSocks(
  socket: Socket,
  server: { readonly hostname: string; readonly port: number },
  user: { readonly name: string; readonly password: string } | undefined,
): Promise<void> {
  const client = new Socks5Client(socket, user && { username: user.name, password: user.password });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  client.on('error', reject);
  client.on('close', () => reject(new Error('closed the connection before it had connected')));
  client.on('authenticated', () => client.connect(server.hostname, server.port));
  client.on('connected', () => resolve());
  client.handshake();
  try {
    await promise;
  } finally {
    client.removeAllListeners();
    client.on('error', () => undefined);
    socket.off('data', client.onSocketData).off('error', client.onSocketError).off('close', client.onSocketClose);
    socket.pause();
  }
}
