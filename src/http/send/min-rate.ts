import type { Readable } from 'node:stream';
import { nowMs } from '../../io/clock.ts';
import { NetworkError } from './network-error.ts';
import type { HttpRequest, Layer } from './send.ts';

export interface MinRateOptions {
  /** In ms; default a clock that never goes back. */
  readonly now?: (() => number) | undefined;
}

/** So long a reader has to have waited before its rate counts, in ms. */
const WINDOW_MS = 60_000;

/**
 * Takes a blob's source that gives fewer bytes than this for one that is silent. Only the time that a reader waits for bytes counts, not what it
 * takes to do something with them: a slow destination is no slow source.
 */
export function minRate(bytesPerSecond: number, { now = nowMs }: MinRateOptions = {}): Layer {
  return (next) => async (request) => {
    const response = await next(request);
    if (request.side === 'source' && request.answerBody === 'stream')
      watch(response.body, { request, bytesPerSecond, now });
    return response;
  };
}

interface Watch {
  readonly request: HttpRequest;
  readonly bytesPerSecond: number;
  readonly now: () => number;
}

/** Times the iteration of a body. It stays the same stream: another one around it would cost every byte. */
function watch(body: Readable, { request, bytesPerSecond, now }: Watch): void {
  const iterate = body[Symbol.asyncIterator].bind(body);
  let waitedMs = 0;
  let bytes = 0;
  body[Symbol.asyncIterator] = () => {
    const iterator = iterate();
    const read = iterator.next.bind(iterator);
    iterator.next = async () => {
      const since = now();
      const result = await read();
      waitedMs += now() - since;
      if (result.done !== true) bytes += (result.value as Buffer).length;
      if (result.done === true || waitedMs < WINDOW_MS) return result;
      const rate = (bytes / waitedMs) * 1000;
      waitedMs = 0;
      bytes = 0;
      if (rate >= bytesPerSecond) return result;
      body.on('error', () => undefined).destroy();
      throw new NetworkError(
        request,
        'slow',
        new Error(`${Math.floor(rate)} bytes a second, less than ${bytesPerSecond}`),
      );
    };
    return iterator;
  };
}
