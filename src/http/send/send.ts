import { Readable } from 'node:stream';
import type { Side } from '../../errors/imgcopy-error.ts';

/** Header names in lower case; a header that came more than once has its values in the order they came. */
export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** What a request does, as far as hosts limit each separately. `manifest-read`: whatever else is asked of a registry as well. */
export type RequestKind = 'manifest-read' | 'manifest-write' | 'blob-read' | 'blob-write' | 'token';

/**
 * A request's body. Bytes and factories can be sent again; a factory is called once for each time it is sent. A bare stream can be sent once.
 */
export type RequestBody = Uint8Array | (() => Readable) | Readable;

/** A request, or the rest of a body, that is about to be asked for again. */
export interface Retry {
  readonly side: Side;
  readonly what: string;
  readonly why: string;
  readonly delayMs: number;
}

/** What an address did not give, and another one is asked for now. */
export interface Fallback {
  /** `host[:port]/name`, as `next`. */
  readonly address: string;
  readonly what: string;
  readonly why: string;
  readonly next: string;
}

/** Hears of what a copy sends. */
export interface RequestObserver {
  /** Every request that goes out, retries, redirects and tokens included. */
  readonly onRequest?:
    ((request: HttpRequest, outcome: { readonly status: number } | { readonly error: unknown }) => void) | undefined;
  readonly onRetry?: ((retry: Retry) => void) | undefined;
  readonly onFallback?: ((fallback: Fallback) => void) | undefined;
}

export interface HttpRequest {
  readonly method: Method;
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: RequestBody | undefined;
  /** In bytes; to be given where the body is a stream of known length, else it is sent chunked. */
  readonly bodyLength?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly side: Side;
  /** Default `manifest-read`. */
  readonly kind?: RequestKind | undefined;
  /** Credentials go with requests to this origin alone; set by the client to its registry's. */
  readonly authOrigin?: string | undefined;
  /** Token scopes that the request needs, e.g. `repository:app:pull`; default: those of the client. */
  readonly scopes?: readonly string[] | undefined;
  /**
   * What a good answer's body is for: `stream` is handed on as it comes; `maxBytes` are read into memory, together with the head as one unit that
   * is tried again. Default: nothing, the status is the answer.
   */
  readonly answerBody?: 'stream' | { readonly maxBytes: number } | undefined;
  /** Whether an answer's body that is read as it comes is known to be shorter than `LONG_BODY`: nothing is prepared for a long one. Default false. */
  readonly isShort?: boolean | undefined;
  /** Whether who reads an answer's body as it comes keeps none of its chunks, and gives them back (`io/slabs.ts`). Default false. */
  readonly givesBack?: boolean | undefined;
  /** How long to wait for the answer's head once the body is sent; default `idleTimeoutMs`. */
  readonly headersTimeoutMs?: number | undefined;
  /** How long the server may be silent: before the answer's head, and between two packets of its body; no longer than in the run. */
  readonly idleTimeoutMs?: number | undefined;
  /** Retries of this request; default those of the run. */
  readonly retries?: number | undefined;
  readonly observer?: RequestObserver | undefined;
  /** Whether the answer's body may be left unread until other requests have brought theirs. Default false. */
  readonly mayPause?: boolean | undefined;
  /** False: fails at once where the host asks for a pause, or has asked for one. Default true. */
  readonly mayWait?: boolean | undefined;
  /** Throws for a URL that the request must not be redirected to. */
  readonly checkUrl?: ((url: URL) => void) | undefined;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: Headers;
  /** To be read to its end, dumped or destroyed. */
  readonly body: Readable;
  /** All of the body, where it was read into memory. */
  readonly bytes?: Buffer | undefined;
  /** Where the answer came from, after redirects. */
  readonly url: URL;
  /** For a registry's 401 or 403: which credentials were sent, and what to do. For messages. */
  readonly denial?: { readonly sent: string; readonly hint: string } | undefined;
}

export type Send = (request: HttpRequest) => Promise<HttpResponse>;

/** One concern around sending a request: it knows the next layer, and nothing else. */
export type Layer = (next: Send) => Send;

/** Puts layers around a way to send; the first is the outermost. */
export function compose(send: Send, ...layers: readonly Layer[]): Send {
  return layers.reduceRight((next, layer) => layer(next), send);
}

/** The one value of a header, or the first of several. */
export function header(response: Pick<HttpResponse, 'headers'>, name: string): string | undefined {
  const value = response.headers[name];
  return typeof value === 'string' ? value : value?.[0];
}

/** Whether a request's body can be sent more than once. */
export function isReplayable({ body }: Pick<HttpRequest, 'body'>): boolean {
  return !(body instanceof Readable);
}
