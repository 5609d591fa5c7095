import type { Dispatcher, EnvHttpProxyAgent } from 'undici';
import { isAbort } from '../errors/imgcopy-error.ts';
import { Connector } from './connector.ts';
import { requestTarget } from './exact-url.ts';
import { NetworkError, toNetworkError } from './network-error.ts';
import type { HttpRequest, HttpResponse, Send } from './send.ts';

export interface TlsOptions {
  /** Whether certificates are checked. Default true. */
  readonly verify?: boolean | undefined;
  /** The certificate authorities to trust, PEM. Default: Node's. */
  readonly ca?: readonly (string | Buffer)[] | undefined;
  /** Client certificate and key, PEM. */
  readonly cert?: string | Buffer | undefined;
  readonly key?: string | Buffer | undefined;
}

export interface ConnectionsOptions {
  /** Asked for when the first TLS connection is made. */
  readonly tls: () => Promise<TlsOptions>;
  /** How long a peer may be silent: for an answer's head, and between two packets of a body. */
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

/** All of undici: a name that a bundler does not follow, for it is needed behind proxies alone. */
const UNDICI: string = 'undici';

/** A way to send that owns its connections. */
export interface Connections extends AsyncDisposable {
  readonly send: Send;
}

/**
 * Sends requests over pools of HTTP/1.1 connections. HTTP/2 is left off: a pool of connections moves many blobs faster than one
 * connection's flow control lets through.
 */
export function openConnections(options: ConnectionsOptions): Connections {
  let opened: Promise<OpenAgent> | undefined;
  return {
    send: async (request) => sendWith(await (opened ??= openAgent(options)), request, options.idleTimeoutMs),
    async [Symbol.asyncDispose](): Promise<void> {
      const { agent, connector } = (await opened) ?? {};
      connector?.close();
      await agent?.destroy();
    },
  };
}

/** An agent, and the function that makes a request of what it dispatches: undici's index would join the two. */
interface OpenAgent {
  readonly agent: Dispatcher;
  readonly connector?: Connector | undefined;
  readonly request: (this: Dispatcher, options: Dispatcher.RequestOptions) => Promise<Dispatcher.ResponseData>;
}

async function openAgent({ connections, tls, env = {} }: ConnectionsOptions): Promise<OpenAgent> {
  const settings = { allowH2: false, connections, keepAliveTimeout: KEEP_ALIVE_MS };
  const { default: request } = await import('undici/lib/api/api-request.js');
  if (usesProxy(env)) {
    // A tunnel is opened by a method that undici's index alone gives to its dispatchers.
    const undici = (await import(UNDICI)) as { EnvHttpProxyAgent: typeof EnvHttpProxyAgent };
    const { verify = true, ca, ...certificate } = await tls();
    const requestTls = { rejectUnauthorized: verify, ...(ca && { ca: [...ca] }), ...certificate };
    const connect = { timeout: CONNECT_TIMEOUT_MS, ...requestTls };
    return { agent: new undici.EnvHttpProxyAgent({ ...settings, ...proxies(env), connect, requestTls }), request };
  }
  const { default: Agent } = await import('undici/lib/dispatcher/agent.js');
  const { default: build } = await import('undici/lib/core/connect.js');
  const connector = new Connector({ tls, timeoutMs: CONNECT_TIMEOUT_MS, build });
  return { agent: new Agent({ ...settings, connect: connector.connect }), connector, request };
}

function usesProxy(env: Env): boolean {
  const { httpProxy, httpsProxy } = proxies(env);
  return httpProxy !== '' || httpsProxy !== '';
}

/** As Go's programs read the environment: no proxy stands between a machine and itself. */
function proxies(env: Env): { readonly httpProxy: string; readonly httpsProxy: string; readonly noProxy: string } {
  const either = (name: string): string => env[name.toLowerCase()] || env[name] || '';
  const noProxy = [either('NO_PROXY'), 'localhost', '127.0.0.1', '::1'].filter((entry) => entry !== '').join(',');
  return { httpProxy: either('HTTP_PROXY'), httpsProxy: either('HTTPS_PROXY'), noProxy };
}

async function sendWith(
  { agent, connector, request: dispatch }: OpenAgent,
  request: HttpRequest,
  idleTimeoutMs: number,
): Promise<HttpResponse> {
  const { url, method, signal, body } = request;
  const onAnswer = connector?.expectAnswer(url);
  try {
    signal?.throwIfAborted();
    const answer = dispatch.call(agent, {
      origin: url.origin,
      path: requestTarget(url),
      method,
      headers: withLength(request),
      body: typeof body === 'function' ? body() : (body ?? null),
      signal: signal ?? null,
      headersTimeout: request.headersTimeoutMs ?? idleTimeoutMs,
      bodyTimeout: idleTimeoutMs,
      highWaterMark: BODY_BUFFER,
      // Undici closes a connection after a HEAD, for the sake of servers that answer it with a body; it notices those anyway.
      reset: false,
    });
    const { statusCode: status, headers, body: answered } = await orAborted(answer, signal);
    return { status, headers, body: answered, url };
  } catch (error) {
    // Undici calls it an abort, too, when a proxy refuses to open a tunnel.
    if (isAbort(error) && signal?.aborted !== true) throw new NetworkError(request, 'proxy', error);
    throw toNetworkError(error, request);
  } finally {
    onAnswer?.();
  }
}

/** Undici hears of an abort only once it has a connection. */
async function orAborted<T>(answer: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return answer;
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([answer, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function withLength({ headers, body, bodyLength }: HttpRequest): Record<string, string> {
  if (bodyLength === undefined || body === undefined || body instanceof Uint8Array) return { ...headers };
  return { ...headers, 'content-length': String(bodyLength) };
}
