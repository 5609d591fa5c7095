import { once } from 'node:events';
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { carry } from './slow-direction.ts';

export interface SlowLinkOptions {
  /** `host:port` that the link leads to. */
  readonly target: string;
  readonly roundTripMs: number;
  /** Of each connection, in each direction. */
  readonly bytesPerSecondPerConnection: number;
}

/** What has come out of a line so far, since it was started. */
export interface Traffic {
  /** Bytes that reached the target. */
  up: number;
  /** Bytes that reached the clients. */
  down: number;
  connections: number;
}

export interface SlowLink {
  /** `host:port` to connect to in place of the target. */
  readonly host: string;
  traffic(): Promise<Traffic>;
  /** Cuts all connections and stops listening. */
  close(): Promise<void>;
}

/**
 * Listens on a port of 127.0.0.1 and passes all connections on to the target, as a slow link would: every byte takes half a
 * round trip, and each connection carries a limited number of bytes a second in each direction. A client's first bytes take one
 * round trip more, for over a slow link they would wait for the connection. Ends of streams and resets are passed on too.
 *
 * It does not simulate what depends on the link's history: loss, slow start, or connections that compete.
 */
export async function startSlowLink(options: SlowLinkOptions): Promise<SlowLink> {
  const { hostname, port } = new URL(`tcp://${options.target}`);
  const traffic: Traffic = { up: 0, down: 0, connections: 0 };
  const open = new Set<Socket>();
  const oneWayMs = options.roundTripMs / 2;
  const bytesPerMs = options.bytesPerSecondPerConnection / 1000;

  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    traffic.connections += 1;
    const target = connect({ host: hostname, port: Number(port), allowHalfOpen: true, noDelay: true });
    const acceptedAt = performance.now();
    const count = (way: 'up' | 'down') => (bytes: number) => (traffic[way] += bytes);
    carry(client, target, { oneWayMs, bytesPerMs, opensAt: acceptedAt + 2 * oneWayMs, onBytes: count('up') });
    carry(target, client, { oneWayMs, bytesPerMs, opensAt: acceptedAt + oneWayMs, onBytes: count('down') });
    for (const socket of [client, target]) {
      open.add(socket);
      socket.once('close', () => open.delete(socket));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    traffic: () => Promise.resolve({ ...traffic }),
    close: async () => {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
