import { connect, isIP, type NetConnectOpts, type Socket } from 'node:net';
import type { ConnectionOptions, SecureContext, TLSSocket } from 'node:tls';
import type { Addresses } from './addresses.ts';
import { ConnectFailure } from './connect-failure.ts';
import { takeEarlySocket } from './early-sockets.ts';

export interface Address {
  /** An IPv6 address is without brackets. */
  readonly hostname: string;
  readonly port: number;
}

/** Node's 250 ms gives up on a far host before its handshake can have come back. */
const FAMILY_ATTEMPT_MS = 2_000;
const KEEP_ALIVE_PROBES_MS = 60_000;
/** What a socket buffers before a write has to wait for it, in bytes, whatever Node's default is. `bin/early-connections.js` has the same number. */
export const SOCKET_BUFFER: number = 64 * 1024;

export interface TcpOptions {
  readonly timeoutMs: number;
  readonly addresses: Addresses;
  /** Gets the socket at once, to be destroyed where it is not wanted any more. */
  readonly onSocket: (socket: Socket) => void;
}

/** Opens a TCP connection. */
export async function openTcp(
  { hostname, port }: Address,
  { timeoutMs, addresses, onSocket }: TcpOptions,
): Promise<Socket> {
  const socket = takeEarlySocket(hostname, port) ?? connect(tcpOptions({ hostname, port }, addresses));
  // It may break while nobody waits for it.
  socket.on('error', () => undefined);
  onSocket(socket);
  if (socket.connecting) {
    await happens(socket, 'connect', `connecting to ${hostname}:${port}`, timeoutMs).catch((error: unknown) => {
      addresses.forget(hostname);
      throw error;
    });
  }
  return socket.setKeepAlive(true, KEEP_ALIVE_PROBES_MS).setNoDelay(true);
}

function tcpOptions(
  { hostname, port }: Address,
  { lookup }: Addresses,
): NetConnectOpts & { readonly highWaterMark: number } {
  return {
    host: hostname,
    port,
    lookup,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: FAMILY_ATTEMPT_MS,
    highWaterMark: SOCKET_BUFFER,
  };
}

export interface TlsTarget {
  readonly hostname: string;
  /** For messages. */
  readonly host: string;
  readonly context: SecureContext;
  /** Of an earlier connection to the same host with the same context. */
  readonly session: Buffer | undefined;
  readonly timeoutMs: number;
}

/**
 * Speaks TLS over a connection. Whether the certificate is accepted is for the caller to see, in `authorized`: only so can it be
 * told what is wrong with it. Nothing may be sent before that.
 */
export async function startTls(socket: Socket, target: TlsTarget): Promise<TLSSocket> {
  const { connect: connectTls } = await import('node:tls');
  const { hostname, host, context, session, timeoutMs } = target;
  const options: ConnectionOptions & { readonly highWaterMark: number } = {
    socket,
    host: hostname,
    // An address is no name to send.
    servername: isIP(hostname) === 0 ? hostname : '',
    secureContext: context,
    session,
    ALPNProtocols: ['http/1.1'],
    rejectUnauthorized: false,
    highWaterMark: SOCKET_BUFFER,
  };
  const secure = connectTls(options);
  secure.on('error', () => undefined);
  await happens(secure, 'secureConnect', `the TLS handshake with ${host}`, timeoutMs);
  return secure;
}

/** Waits for an event of a socket; without it, the socket is destroyed. */
export async function happens(socket: Socket, event: string, what: string, timeoutMs: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const close = (): void => reject(new ConnectFailure('lost', `${what}: the connection was closed`));
  const timer = setTimeout(
    () => reject(new ConnectFailure('timeout', `${what} took more than ${timeoutMs} ms`)),
    timeoutMs,
  );
  socket.once(event, resolve).once('error', reject).once('close', close);
  try {
    await promise;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    socket.off(event, resolve).off('error', reject).off('close', close);
  }
}
