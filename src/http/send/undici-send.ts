import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import type UndiciRequest from 'undici/lib/api/api-request.js';
import { systemErrorCode } from '../../errors/imgcopy-error.ts';
import { orAborted } from '../../io/or-aborted.ts';
import { Connector } from '../connect/connector.ts';
import { authorizationOf, ConnectionOpener } from '../connect/connection-opener.ts';
import type { ProxyFor } from '../connect/proxy.ts';
import type { RegistryTrust } from '../connect/trust.ts';
import { bodyHandlerClass, type BodyHandlerClass, type BodyHandlerOptions } from './body-handler.ts';
import { requestTarget } from './exact-url.ts';
import { toNetworkError, type NetworkError } from './network-error.ts';
import type { HttpRequest, HttpResponse, Layer, Send } from './send.ts';
import { sentBody } from './sent-body.ts';
import { whenClosed } from './when-closed.ts';

export interface ConnectionsOptions {
  readonly trust: RegistryTrust;
  /** The registry's own `host[:port]`: what client certificates are for. */
  readonly ownHost: string;
  /** How long a server may be silent: for an answer's head, and between two packets of a body. */
  readonly idleTimeoutMs: number;
  /** Connections a host at most. */
  readonly connections: number;
  /** Proxies by environment: HTTPS_PROXY, HTTP_PROXY, NO_PROXY in both cases. */
  readonly env?: Env | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;

const CONNECT_TIMEOUT_MS = 10_000;
/** Undici's 4 s would close connections while a large blob moves over others. */
const KEEP_ALIVE_MS = 60_000;
/** What is buffered of a body that is read more slowly than it comes, in bytes. */
const BODY_BUFFER = 256 * 1024;
const PROXY_VARIABLES = ['HTTPS_PROXY', 'HTTP_PROXY', 'https_proxy', 'http_proxy'];

/** A way to send that owns its connections. */
export interface Connections extends AsyncDisposable {
  readonly send: Send;
  /** Tells of requests before they wait for their turn, so that connections are opened for them meanwhile. */
  readonly announce: Layer;
  /** Begins the connection that the first request to an origin will have. */
  readonly prepare: (origin: URL) => Promise<void>;
  /**
   * Whether a host speaks TLS, be its certificate accepted or not.
   * @returns the failure of the handshake, where it does not.
   * @throws NetworkError where there is no connection at all.
   */
  readonly speaksTls: (request: HttpRequest) => Promise<true | NetworkError>;
}

/**
 * Sends requests over pools of HTTP/1.1 connections. HTTP/2 is left off: a pool of connections moves many blobs faster than one
 * connection's flow control lets through.
 */
export function openConnections(options: ConnectionsOptions): Connections {
  let made: Promise<Connector> | undefined;
  let opened: Promise<OpenAgent> | undefined;
  const connector = (): Promise<Connector> => (made ??= makeConnector(options));
  const open = (): Promise<OpenAgent> => (opened ??= openAgent(options, connector()));
  return {
    send: async (request) => await sendWith(await open(), request, options.idleTimeoutMs),
    announce: (next) => async (request) => {
      const over = (await connector()).announce(request.url);
      try {
        return await next(request);
      } finally {
        over();
      }
    },
    prepare: (origin) =>
      connector().then(
        (one) => one.prepare(origin),
        // A request will fail for the same reason.
        () => undefined,
      ),
    speaksTls: async (request) => await tryTls(await connector(), request),
    async [Symbol.asyncDispose](): Promise<void> {
      const { agent } = (await opened) ?? {};
      const destroyed = agent?.destroy(closed());
      (await made)?.close();
      await destroyed;
    },
  };
}

/** Why requests end that are under way. Without a stack: streams look at it, and to find its lines in the bundle takes 2 ms. */
function closed(): Error {
  return Object.assign(new Error('the connections were closed'), { stack: undefined });
}

/** An agent, and the function that makes a request of what it dispatches: undici's index would join the two. */
interface OpenAgent {
  readonly agent: Dispatcher;
  readonly connector: Connector;
  readonly request: typeof UndiciRequest;
  readonly BodyHandler: BodyHandlerClass;
}

async function makeConnector({ trust, ownHost, connections, env = {} }: ConnectionsOptions): Promise<Connector> {
  const proxyFor = await proxies(env);
  const opener = new ConnectionOpener({ trust, ownHost, proxyFor, timeoutMs: CONNECT_TIMEOUT_MS });
  return new Connector({ opener, most: connections });
}

async function openAgent({ connections }: ConnectionsOptions, made: Promise<Connector>): Promise<OpenAgent> {
  const { default: request } = await import('undici/lib/api/api-request.js');
  const { default: Agent } = await import('undici/lib/dispatcher/agent.js');
  const connector = await made;
  const agent = new Agent({
    allowH2: false,
    connections,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connect: connector.connect,
  });
  return { agent, connector, request, BodyHandler: bodyHandlerClass(request.RequestHandler) };
}

async function proxies(env: Env): Promise<ProxyFor> {
  if (!PROXY_VARIABLES.some((name) => env[name])) return () => undefined;
  const { proxiesOf } = await import('../connect/proxy.ts');
  return proxiesOf(env);
}

async function sendWith(
  { agent, connector, request: dispatch, BodyHandler }: OpenAgent,
  request: HttpRequest,
  idleTimeoutMs: number,
): Promise<HttpResponse> {
  const { url, method, signal, body } = request;
  const idleMs = Math.min(request.idleTimeoutMs ?? Infinity, idleTimeoutMs);
  let onAnswer: (() => void) | undefined;
  let endTurn: (() => void) | undefined;
  let sent: Uint8Array | Readable | undefined;
  try {
    signal?.throwIfAborted();
    const proxy = connector.proxyFor(url);
    // By http a proxy is told of the whole URL; all else is between the server and us.
    const forwards = url.protocol === 'http:' && proxy !== undefined && proxy.scheme !== 'socks5' ? proxy : undefined;
    const authorization = forwards && authorizationOf(forwards);
    onAnswer = connector.expectAnswer(url, request.side);
    endTurn = await connector.turn(url, signal);
    sent = typeof body === 'function' ? body() : body;
    const options: Dispatcher.RequestOptions = {
      origin: url.origin,
      path: forwards === undefined ? requestTarget(url) : `${url.origin}${requestTarget(url)}`,
      method,
      headers: { ...withLength(request), ...(authorization && { 'proxy-authorization': authorization }) },
      // Undici takes any iterable. What can be sent again is kept for that.
      body: body instanceof Readable ? (sentBody(body) as unknown as Readable) : (sent ?? null),
      signal: signal ?? null,
      headersTimeout: request.headersTimeoutMs ?? idleMs,
      bodyTimeout: idleMs,
      highWaterMark: BODY_BUFFER,
      // Undici closes a connection after a HEAD, for the sake of servers that answer it with a body; it notices those anyway.
      reset: false,
    };
    const answer =
      request.answerBody === 'stream' && method === 'GET' && request.isShort !== true
        ? dispatchStream({ agent, BodyHandler }, options, { idleMs, givesBack: request.givesBack ?? false })
        : dispatch.call(agent, options);
    // Undici hears of an abort only once it has a connection.
    const { statusCode: status, headers, body: answered } = await orAborted(answer, signal);
    // A turn later, when the connection is free: the next request would have to wait for another.
    const over = endTurn;
    endTurn = undefined;
    whenClosed(answered, () => setImmediate(over));
    if (forwards !== undefined && status === 407) {
      answered.on('error', () => undefined).resume();
      const { proxyAnswer } = await import('../connect/tunnel.ts');
      throw proxyAnswer(forwards, status, 'Proxy Authentication Required');
    }
    return { status, headers, body: answered, url };
  } catch (error) {
    if (sent instanceof Readable) sent.destroy();
    throw toNetworkError(closedWithoutReason(error) ? (connector.alertFrom(url) ?? error) : error, request);
  } finally {
    endTurn?.();
    onAnswer?.();
  }
}

/** Sends a request whose answer's body may be long. */
async function dispatchStream(
  { agent, BodyHandler }: Pick<OpenAgent, 'agent' | 'BodyHandler'>,
  options: Dispatcher.RequestOptions,
  bodyOptions: BodyHandlerOptions,
): Promise<Dispatcher.ResponseData> {
  const { promise, resolve, reject } = Promise.withResolvers<Dispatcher.ResponseData>();
  const handler = new BodyHandler(options, bodyOptions, (error, answer) =>
    error === null ? resolve(answer) : reject(error),
  );
  agent.dispatch(options, handler);
  return await promise;
}

function closedWithoutReason(error: unknown): boolean {
  return ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(systemErrorCode(error) ?? '');
}

async function tryTls(connector: Connector, request: HttpRequest): Promise<true | NetworkError> {
  const { signal, url } = request;
  try {
    signal?.throwIfAborted();
    const answer = await orAborted(connector.speaksTls(url), signal);
    return answer === true || (toNetworkError(answer, request) as NetworkError);
  } catch (error) {
    throw toNetworkError(error, request);
  }
}

function withLength({ headers, body, bodyLength }: HttpRequest): Record<string, string> {
  if (bodyLength === undefined || body === undefined || body instanceof Uint8Array) return { ...headers };
  return { ...headers, 'content-length': String(bodyLength) };
}
