import { createServer, type IncomingHttpHeaders, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { buffer, text } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import type { HttpRequest, HttpResponse } from '../../src/http/send/send.ts';

/** A request as the server saw it. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Readable;
}

export interface TestServer {
  readonly origin: string;
  readonly requests: SeenRequest[];
}

/** An HTTP server on a port of its own, until the test ends. */
export async function startServer(
  t: TestContext,
  answer: (request: SeenRequest) => Answer | Promise<Answer>,
): Promise<TestServer> {
  const requests: SeenRequest[] = [];
  const server = createServer((incoming, outgoing) => {
    void (async () => {
      const url = new URL(incoming.url ?? '/', 'http://server');
      const { method = '', headers } = incoming;
      const seen = { method, path: url.pathname, query: url.searchParams, headers, body: await text(incoming) };
      requests.push(seen);
      const { status, headers: answered = {}, body = '' } = await answer(seen);
      outgoing.writeHead(status, answered).flushHeaders();
      await pipeline(typeof body === 'string' ? [body] : body, outgoing);
    })().catch((error: unknown) => outgoing.destroy(error as Error));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}

/** Sends a request as it is: no retries, no redirects. */
export async function send({ method, url, headers = {}, body, signal }: HttpRequest): Promise<HttpResponse> {
  const outgoing = httpRequest(url, { method, headers, ...(signal !== undefined && { signal }) });
  const answered = new Promise<HttpResponse>((resolve, reject) => {
    outgoing.once('error', reject);
    outgoing.once('response', (incoming) => {
      resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: incoming, url });
    });
  });
  outgoing.end(body === undefined ? undefined : await bytesOf(body));
  return answered;
}

async function bytesOf(body: NonNullable<HttpRequest['body']>): Promise<Uint8Array> {
  if (body instanceof Uint8Array) return body;
  return buffer(body instanceof Readable ? body : body());
}
