import type { Agent, Dispatcher } from 'undici';
import { toNetworkError } from './network-error.ts';
import type { HttpRequest, HttpResponse, Send } from './send.ts';

export interface TlsOptions {
  /** Whether certificates are checked. Default true. */
  readonly verify?: boolean | undefined;
  /** Further certificate authorities, PEM. */
  readonly ca?: readonly (string | Buffer)[] | undefined;
  /** Client certificate and key, PEM. */
  readonly cert?: string | Buffer | undefined;
  readonly key?: string | Buffer | undefined;
}

export interface UndiciSendOptions extends TlsOptions {
  /** How long a peer may be silent: for an answer's head, and between two packets of a body. */
  readonly idleTimeoutMs: number;
  /** Connections a host at most. */
  readonly connections: number;
  /** Proxies by environment: HTTPS_PROXY, HTTP_PROXY, NO_PROXY in both cases. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** Undici's 4 s would close connections while a large blob moves over others. */
const KEEP_ALIVE_MS = 60_000;
/** Node's 250 ms gives up on a far host before its handshake can have come back. */
const FAMILY_ATTEMPT_MS = 2_000;
/** What is buffered of a body that is read more slowly than it comes, in bytes. */
const BODY_BUFFER = 256 * 1024;

/** A way to send that owns its connections. */
export interface Connections extends AsyncDisposable {
  readonly send: Send;
}

/**
 * Sends requests over pools of HTTP/1.1 connections. HTTP/2 is left off: a pool of connections moves many blobs faster than one
 * connection's flow control lets through.
 */
export function openConnections(options: UndiciSendOptions): Connections {
  let opened: Promise<OpenAgent> | undefined;
  return {
    send: async (request) => sendWith(await (opened ??= openAgent(options)), request, options.idleTimeoutMs),
    async [Symbol.asyncDispose](): Promise<void> {
      await (await opened)?.agent.destroy();
    },
  };
}

/** An agent, and the function that makes a request of what it dispatches: undici's index would join the two. */
interface OpenAgent {
  readonly agent: Dispatcher;
  readonly request: (this: Dispatcher, options: Dispatcher.RequestOptions) => Promise<Dispatcher.ResponseData>;
}

async function openAgent(options: UndiciSendOptions): Promise<OpenAgent> {
  const tls = {
    rejectUnauthorized: options.verify ?? true,
    ...(options.ca && { ca: [...options.ca] }),
    ...(options.cert && { cert: options.cert }),
    ...(options.key && { key: options.key }),
  };
  const settings = {
    allowH2: false,
    connections: options.connections,
    keepAliveTimeout: KEEP_ALIVE_MS,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: FAMILY_ATTEMPT_MS,
    connect: { timeout: CONNECT_TIMEOUT_MS, ...tls },
  };
  const request = await load<OpenAgent['request']>('undici/lib/api/api-request.js');
  if (usesProxy(options.env ?? {})) {
    const ProxyAgent = await load<new (settings: object) => Dispatcher>(
      'undici/lib/dispatcher/env-http-proxy-agent.js',
    );
    return { agent: new ProxyAgent({ ...settings, requestTls: tls }), request };
  }
  const PlainAgent = await load<typeof Agent>('undici/lib/dispatcher/agent.js');
  return { agent: new PlainAgent(settings), request };
}

/** One module of undici: its index takes 35 ms more to load. */
async function load<T>(module: string): Promise<T> {
  return ((await import(module)) as { default: T }).default;
}

function usesProxy(env: Readonly<Record<string, string | undefined>>): boolean {
  return ['HTTPS_PROXY', 'HTTP_PROXY', 'https_proxy', 'http_proxy'].some((name) => Boolean(env[name]));
}

async function sendWith(
  { agent, request: dispatch }: OpenAgent,
  request: HttpRequest,
  idleTimeoutMs: number,
): Promise<HttpResponse> {
  const { url, method, signal, body } = request;
  try {
    const answer = await dispatch.call(agent, {
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
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
    return { status: answer.statusCode, headers: answer.headers, body: answer.body, url };
  } catch (error) {
    throw toNetworkError(error, request);
  }
}

function withLength({ headers, body, bodyLength }: HttpRequest): Record<string, string> {
  if (bodyLength === undefined || body === undefined || body instanceof Uint8Array) return { ...headers };
  return { ...headers, 'content-length': String(bodyLength) };
}
