import { Readable } from 'node:stream';
import type { Digest } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { parseContentRange } from '../../http/content-range.ts';
import {
  backoff,
  header,
  isPassing,
  toNetworkError,
  type HttpResponse,
  type RequestObserver,
  type RetryPolicy,
} from '../../http/index.ts';
import type { RegistryClient } from './client.ts';

export interface DownloadOptions {
  readonly policy: RetryPolicy;
  readonly observer?: RequestObserver | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** So many bytes between two cuts make the later one count as the first, in bytes. */
const PROGRESS = 1024 * 1024;
const BODY_BUFFER = 256 * 1024;

/**
 * A blob as one stream that outlives its connections: a body that is cut, falls silent or ends before `size` is taken up at its offset,
 * through the registry's own URL, for signed ones expire.
 *
 * @param first  the answer to the GET of the whole blob.
 */
export function resumingStream(
  client: RegistryClient,
  digest: Digest,
  size: number,
  first: HttpResponse,
  options: DownloadOptions,
): Readable {
  const controller = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, controller.signal]) : controller.signal;
  const stream = Readable.from(chunks(client, digest, size, first, { ...options, signal }), {
    objectMode: false,
    highWaterMark: BODY_BUFFER,
  });
  stream.once('close', () => {
    controller.abort();
    first.body.destroy();
  });
  first.body.on('error', () => undefined);
  return stream;
}

async function* chunks(
  client: RegistryClient,
  digest: Digest,
  size: number,
  first: HttpResponse,
  options: DownloadOptions,
): AsyncGenerator<Buffer> {
  const { policy, signal } = options;
  let response = first;
  let offset = 0;
  let attempts = 0;
  let resumedAt = -PROGRESS;
  for (;;) {
    let failure: Error | undefined;
    try {
      for await (const chunk of response.body as AsyncIterable<Buffer>) {
        offset += chunk.length;
        yield chunk;
      }
    } catch (error) {
      const wrapped = toNetworkError(error, { method: 'GET', url: response.url, side: client.side });
      if (!isPassing(wrapped)) throw wrapped;
      failure = wrapped;
    }
    if (offset >= size) return;
    signal?.throwIfAborted();
    attempts = offset - resumedAt >= PROGRESS ? 0 : attempts + 1;
    if (attempts >= Math.max(1, policy.retries)) throw failure ?? cut(client, digest, offset, size);
    resumedAt = offset;
    const delayMs = backoff(policy, attempts);
    options.observer?.onRetry?.({
      side: client.side,
      what: `blob ${digest}`,
      why: `cut after ${offset} of ${size} bytes`,
      delayMs,
    });
    await policy.sleep(delayMs, signal);
    response = await continueAt(client, digest, offset, size, signal);
  }
}

async function continueAt(
  client: RegistryClient,
  digest: Digest,
  offset: number,
  size: number,
  signal: AbortSignal | undefined,
): Promise<HttpResponse> {
  const response = await client.getBlob(digest, { signal, ...(offset > 0 && { range: `bytes=${offset}-` }) });
  response.body.on('error', () => undefined);
  if (response.status === 200) return offset === 0 ? response : skip(response, offset);
  const range = response.status === 206 ? parseContentRange(header(response, 'content-range') ?? '') : undefined;
  if (range?.start === offset && (range.total ?? size) === size) return response;
  response.body.destroy();
  throw new ImgcopyError(
    `blob ${digest}: the answer to bytes from ${offset} on is ${response.status} ${header(response, 'content-range') ?? ''}`.trimEnd(),
    {
      code: 'ERR_RESUME_REFUSED',
      side: client.side,
      hint: 'the registry does not let a cut download go on; run the command again',
    },
  );
}

/** A server that ignores the range sends it all again: what is known of it is passed over. */
function skip(response: HttpResponse, bytes: number): HttpResponse {
  async function* rest(): AsyncGenerator<Buffer> {
    let left = bytes;
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      if (chunk.length > left) yield chunk.subarray(left);
      left = Math.max(0, left - chunk.length);
    }
  }
  return { ...response, body: Readable.from(rest(), { objectMode: false }) };
}

function cut(client: RegistryClient, digest: Digest, offset: number, size: number): ImgcopyError {
  return new ImgcopyError(`blob ${digest} ends after ${offset} of ${size} bytes, again and again`, {
    code: 'ERR_BODY_CUT',
    kind: 'integrity',
    side: client.side,
    hint: 'the registry, or a proxy before it, holds a damaged copy or cuts long answers',
  });
}
