import { Readable } from 'node:stream';
import { nowMs } from '../../io/clock.ts';
import { readBody, readRefusal } from './body.ts';
import type { HttpResponse, Layer } from './send.ts';

export interface CollectOptions {
  /** How long an answer's body may take, in ms, beside the time that its bytes take over a slow link. */
  readonly timeoutMs: number;
  /** In ms. Default: a clock that never goes back. */
  readonly now?: (() => number) | undefined;
}

/** A body on its way to memory is slow enough to be given up below this, in bytes a ms. */
const SLOWEST = 16;

/**
 * Reads answers into memory, head and body as one: what is read whole is tried again whole. An answer is handed on as it comes where the request says so
 * and the status is good. Where the body is not the answer, as with an error, whatever happens to it leaves the status as it is.
 */
export function collect({ timeoutMs, now = nowMs }: CollectOptions): Layer {
  return (next) => async (request) => {
    const response = await next(request);
    const isGood = response.status >= 200 && response.status < 300;
    const { answerBody } = request;
    if (!isGood || answerBody === undefined) {
      const bytes = await readRefusal(response, request, timeoutMs);
      request.signal?.throwIfAborted();
      return inMemory(response, bytes);
    }
    if (answerBody === 'stream') return response;
    const started = now();
    const isTooSlow = (bytes: number): boolean => now() - started > timeoutMs + bytes / SLOWEST;
    return inMemory(response, await readBody(response, request, answerBody.maxBytes, { isTooSlow }));
  };
}

/** The answer with its body decoded, and so without the headers that tell how it came. */
function inMemory(response: HttpResponse, bytes: Buffer): HttpResponse {
  const { 'content-encoding': encoding, 'content-length': _, ...others } = response.headers;
  return {
    ...response,
    headers: encoding === undefined ? response.headers : others,
    bytes,
    // A stream takes longer to make than most answers to read, and hardly anybody wants it.
    get body() {
      return Readable.from(bytes.length === 0 ? [] : [bytes], { objectMode: false });
    },
  };
}
