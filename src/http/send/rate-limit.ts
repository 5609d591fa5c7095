import { pipeline, Readable, Transform, type TransformCallback } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { nowMs } from '../../io/clock.ts';
import { header, type HttpRequest, type HttpResponse, type Layer } from './send.ts';

export interface RateLimitOptions {
  /** In ms; default a clock that never goes back. */
  readonly now?: (() => number) | undefined;
  readonly sleep?: ((ms: number, signal: AbortSignal) => Promise<void>) | undefined;
}

/** Time that was not used may be made up for so long, in ms. */
const CREDIT_MS = 100;
/** Bytes pass in pieces of so much of a second, so that all transfers move at once. */
const PIECES_A_SECOND = 16;
/** Bodies of requests up to here pass at once, and are paid for by those that follow, in bytes. */
const SHORT_BODY = 64 * 1024;

/**
 * Bounds the bytes a second of all transfers together: those that come, and those that go. Blobs are slowed down; what is read into memory (manifests,
 * tokens) passes at once, for its deadline would not know of the limit, and the blobs wait longer for it. Who waits here is no slow server: undici
 * counts no timeout while its reader does not read.
 */
export function limitRate(bytesPerSecond: number, options: RateLimitOptions = {}): Layer {
  const incoming = new Pace(bytesPerSecond, options);
  const outgoing = new Pace(bytesPerSecond, options);
  return (next) => async (request) => {
    const response = await next(slowed(request, outgoing));
    if (request.answerBody !== 'stream' || request.method === 'HEAD') {
      if (request.method !== 'HEAD') incoming.count(Number(header(response, 'content-length') ?? 0));
      return response;
    }
    return { ...response, body: paced(response.body, incoming) } satisfies HttpResponse;
  };
}

/** The times at which bytes may pass, one after the other, for all who share it. */
class Pace {
  readonly pieceBytes: number;
  readonly #bytesPerMs: number;
  readonly #now: () => number;
  readonly #sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  #next = 0;

  constructor(bytesPerSecond: number, { now = nowMs, sleep }: RateLimitOptions) {
    this.pieceBytes = Math.max(1, Math.floor(bytesPerSecond / PIECES_A_SECOND));
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#now = now;
    this.#sleep = sleep ?? ((ms, signal) => delay(ms, undefined, { signal }));
  }

  /** Notes bytes that pass in any case. @returns how long they would have had to wait, in ms. */
  count(bytes: number): number {
    const now = this.#now();
    const start = Math.max(this.#next, now - CREDIT_MS);
    this.#next = start + bytes / this.#bytesPerMs;
    return start - now;
  }

  async pass(bytes: number, signal: AbortSignal): Promise<void> {
    const waitMs = this.count(bytes);
    if (waitMs > 0) await this.#sleep(waitMs, signal);
  }
}

function slowed(request: HttpRequest, pace: Pace): HttpRequest {
  const { body } = request;
  if (body === undefined) return request;
  if (body instanceof Readable) return { ...request, body: paced(body, pace) };
  if (typeof body === 'function') return { ...request, body: () => paced(body(), pace) };
  if (body.length > SHORT_BODY) {
    return {
      ...request,
      body: () => paced(Readable.from([body], { objectMode: false }), pace),
      bodyLength: body.length,
    };
  }
  pace.count(body.length);
  return request;
}

function paced(stream: Readable, pace: Pace): Readable {
  const left = new AbortController();
  const slow = new Transform({
    transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
      const passed = async (): Promise<void> => {
        for (let start = 0; start < chunk.length; start += pace.pieceBytes) {
          const piece = chunk.subarray(start, start + pace.pieceBytes);
          await pace.pass(piece.length, left.signal);
          this.push(piece);
        }
      };
      passed().then(() => done(), done);
    },
    destroy(error, done): void {
      left.abort();
      done(error);
    },
  });
  return pipeline(stream, slow, () => undefined);
}
