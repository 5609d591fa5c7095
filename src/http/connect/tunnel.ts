import type { Duplex } from 'node:stream';
import { ConnectFailure } from './connect-failure.ts';
import type { Proxy } from './proxy.ts';

export interface TunnelOptions {
  /** `host:port` */
  readonly authority: string;
  /** The value of Proxy-Authorization. */
  readonly authorization: string | undefined;
}

/** An answer to CONNECT that is longer is none. */
const MAX_HEAD = 64 * 1024;

/**
 * Asks an HTTP proxy for a tunnel, over a connection to it.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6
 */
export async function openTunnel(socket: Duplex, { authority, authorization }: TunnelOptions): Promise<void> {
  const auth = authorization === undefined ? '' : `Proxy-Authorization: ${authorization}\r\n`;
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${auth}\r\n`);
  const head = await readHead(socket);
  const [, status = '', reason = ''] = /^HTTP\/1\.[01] (\d{3}) ?([^\r\n]*)/.exec(head) ?? [];
  if (status.startsWith('2')) return;
  if (status === '') throw new ConnectFailure('proxy', 'the answer to CONNECT is not HTTP');
  throw refusal(Number(status), reason);
}

function refusal(status: number, reason: string): ConnectFailure {
  const message = `${status} ${reason}`.trim();
  if (status === 407) {
    return new ConnectFailure('proxy-denied', message, {
      hint: () =>
        'give the proxy a user name and password: http://USER:PASSWORD@HOST:PORT in HTTPS_PROXY or HTTP_PROXY',
    });
  }
  return new ConnectFailure(status < 500 ? 'proxy-denied' : 'proxy', message);
}

/** What a proxy answered in place of the server. */
export function proxyAnswer(proxy: Pick<Proxy, 'text'>, status: number, reason: string): ConnectFailure {
  return throughProxy(proxy, refusal(status, reason));
}

/** Names the proxy in an error of the way to it or through it. */
export function throughProxy({ text }: Pick<Proxy, 'text'>, error: unknown): ConnectFailure {
  const cause = error instanceof AggregateError ? (error.errors[0] as Error) : (error as Error);
  const isDenied = cause instanceof ConnectFailure && cause.failure === 'proxy-denied';
  return new ConnectFailure(isDenied ? 'proxy-denied' : 'proxy', `the proxy ${text}: ${cause.message}`, {
    hint: cause instanceof ConnectFailure ? cause.hint : undefined,
    cause,
  });
}

/** Reads up to the empty line; what comes after it stays in the stream. */
async function readHead(socket: Duplex): Promise<string> {
  let head = Buffer.alloc(0);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const read = (): void => {
    for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\r\n\r\n');
      if (end !== -1) {
        socket.off('readable', read);
        if (head.length > end + 4) socket.unshift(head.subarray(end + 4));
        resolve(head.toString('latin1', 0, end));
        return;
      }
      if (head.length > MAX_HEAD) reject(new ConnectFailure('proxy', 'the answer to CONNECT is too long'));
    }
  };
  const ended = (): void => reject(new ConnectFailure('proxy', 'closed the connection before it answered CONNECT'));
  socket.on('readable', read).once('end', ended).once('close', ended).once('error', reject);
  read();
  try {
    return await promise;
  } finally {
    socket.off('readable', read).off('end', ended).off('close', ended).off('error', reject);
  }
}
