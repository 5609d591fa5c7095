import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { RegistryOptions } from './options.ts';

/** A client's connection. */
export interface Connection {
  readonly id: number;
  /** Sends RST. What the kernel has not sent yet is lost; what the client has received it can still read. */
  reset(): void;
}

export interface ListenerEvents {
  readonly onRequest: (request: IncomingMessage, response: ServerResponse, connection: Connection) => void;
  /** A connection is gone. */
  readonly onClosed: () => void;
}

/** An HTTP/1.1 server on a free port of 127.0.0.1 that knows its connections. */
export class Listener {
  /** Connections opened so far. */
  opened = 0;
  readonly #server: Server;
  readonly #scheme: 'http' | 'https';
  readonly #onClosed: () => void;
  /** By the client's port, for the socket of a TLS request is not the one that was accepted. */
  readonly #connections = new Map<number, { id: number; socket: Socket }>();

  private constructor(server: Server, scheme: 'http' | 'https', { onRequest, onClosed }: ListenerEvents) {
    this.#server = server;
    this.#scheme = scheme;
    this.#onClosed = onClosed;
    server.keepAliveTimeout = 60_000;
    server.requestTimeout = 0;
    server.on('connection', (socket: Socket) => this.#accept(socket));
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const connection = this.#connections.get(request.socket.remotePort ?? 0);
      if (connection === undefined) request.socket.destroy();
      else onRequest(request, response, { id: connection.id, reset: () => connection.socket.resetAndDestroy() });
    });
  }

  static async listen(tls: RegistryOptions['tls'], events: ListenerEvents): Promise<Listener> {
    const server = tls === undefined ? createServer() : (createTlsServer(tls) as Server);
    const listener = new Listener(server, tls === undefined ? 'http' : 'https', events);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    return listener;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get url(): string {
    return `${this.#scheme}://${this.host}`;
  }

  /** Connections that are open now. */
  get connected(): number {
    return this.#connections.size;
  }

  closeIdleConnections(): void {
    this.#server.closeIdleConnections();
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const { socket } of this.#connections.values()) socket.destroy();
    await closed;
  }

  #accept(socket: Socket): void {
    const port = socket.remotePort ?? 0;
    this.opened += 1;
    const connection = { id: this.opened, socket };
    this.#connections.set(port, connection);
    socket.on('close', () => {
      if (this.#connections.get(port) === connection) this.#connections.delete(port);
      this.#onClosed();
    });
  }
}
