import { once } from 'node:events';
import { Agent, createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as a registry got it. Bytes are those of bodies alone; they grow while it is under way. */
export interface CountedRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** What the client has sent, and was passed on. */
  readonly receivedBytes: number;
  /** What the registry has answered, and was passed on. */
  readonly sentBytes: number;
}

/** Stands before a registry and counts what goes through. */
export interface CountingProxy {
  /** `host:port` to connect to in place of the registry. */
  readonly host: string;
  /** Since the last reset. */
  readonly requests: readonly CountedRequest[];
  /** Forgets them. */
  reset(): void;
  /** Cuts all connections and stops listening. */
  close(): Promise<void>;
}

type OpenRequest = { -readonly [Key in keyof CountedRequest]: CountedRequest[Key] };

/**
 * Listens on a port of 127.0.0.1 and passes every request on to a registry over plain HTTP, with its headers as they are. A connection
 * that is cut on one side is cut on the other.
 *
 * @param target  `host:port`
 */
export async function startCountingProxy(target: string): Promise<CountingProxy> {
  const { hostname, port } = new URL(`http://${target}`);
  const agent = new Agent({ keepAlive: true });
  let requests: OpenRequest[] = [];

  const server = createServer((incoming, outgoing) => {
    const { method = '', url = '', rawHeaders } = incoming;
    const counted: OpenRequest = { method, path: url, receivedBytes: 0, sentBytes: 0 };
    requests.push(counted);
    const onward = request({ hostname, port, agent, method, path: url, headers: rawHeaders });
    onward.on('response', (answer) => passBack(answer, outgoing, counted));
    onward.on('error', () => outgoing.destroy());
    outgoing.on('close', () => {
      if (!outgoing.writableFinished) onward.destroy();
    });
    incoming.on('data', (bytes: Buffer) => (counted.receivedBytes += bytes.length));
    incoming.pipe(onward);
  });
  // A client may use an idle connection at any time.
  server.keepAliveTimeout = 0;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    get requests() {
      return requests;
    },
    reset() {
      requests = [];
    },
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
      agent.destroy();
    },
  };
}

function passBack(answer: IncomingMessage, outgoing: ServerResponse, counted: OpenRequest): void {
  outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
  answer.on('data', (bytes: Buffer) => (counted.sentBytes += bytes.length));
  answer.on('error', () => outgoing.destroy());
  answer.pipe(outgoing);
}
