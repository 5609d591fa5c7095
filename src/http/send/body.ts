import type { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { decodeContent } from './content-encoding.ts';
import { redactUrl, toNetworkError } from './network-error.ts';
import { header, type HttpRequest, type HttpResponse } from './send.ts';

/** What is read of an answer that nobody needs, to keep its connection, in bytes. */
const DUMP_LIMIT = 128 * 1024;
/** What is read of the body of an error, in bytes. */
const REFUSAL_LIMIT = 64 * 1024;
/** A body that nobody waits for has so long to come, in ms. */
const SPARE_MS = 5_000;

export interface ReadBodyOptions {
  /** Asked with each packet, by the bytes so far: true gives the body up. */
  readonly isTooSlow?: ((bytes: number) => boolean) | undefined;
}

/**
 * Reads a body into memory, and decodes it where it was compressed in transit.
 * @param limit  in bytes; a longer body is an error, found before it is read where its length is announced.
 */
export async function readBody(
  response: HttpResponse,
  request: HttpRequest,
  limit: number,
  { isTooSlow }: ReadBodyOptions = {},
): Promise<Buffer> {
  if (response.bytes !== undefined) {
    if (response.bytes.length > limit) throw tooLarge(request, limit, response.bytes.length);
    return response.bytes;
  }
  const announced = Number(header(response, 'content-length') ?? 0);
  if (announced > limit) {
    response.body.on('error', () => undefined).destroy();
    throw tooLarge(request, limit, announced);
  }
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    await readThrough(response.body, (chunk) => {
      size += chunk.length;
      if (size > limit) throw tooLarge(request, limit, size);
      if (isTooSlow?.(size) === true) throw new TooSlowError(size);
      chunks.push(chunk);
    });
    await connectionIsFree();
  } catch (error) {
    throw toNetworkError(error, request);
  }
  return await decoded(chunks, response, { request, limit });
}

/** Reads what comes of the body of an answer whose status alone counts: whatever is wrong with it. Never throws. */
export async function readRefusal(
  response: HttpResponse,
  request: HttpRequest,
  timeoutMs: number = SPARE_MS,
): Promise<Buffer> {
  if (response.bytes !== undefined) return response.bytes;
  const chunks = await readSome(response, { limit: REFUSAL_LIMIT, timeoutMs: Math.min(SPARE_MS, timeoutMs) });
  return await decoded(chunks, response, { request, limit: 2 * REFUSAL_LIMIT }).catch(() => Buffer.alloc(0));
}

/** Lets go of a body: reads a short rest, so that the connection can be used again, else closes it. Never throws. */
export async function dumpBody(response: HttpResponse): Promise<void> {
  if (response.bytes !== undefined) return;
  response.body.on('error', () => undefined);
  if (Number(header(response, 'content-length') ?? 0) > DUMP_LIMIT) response.body.destroy();
  await readSome(response, { limit: DUMP_LIMIT, timeoutMs: SPARE_MS });
}

/**
 * Reads a body to its end. An iterator takes longer to make than most bodies to read.
 * @param onChunk  what it throws ends the body, and the reading.
 */
async function readThrough(body: Readable, onChunk: (chunk: Buffer) => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  body.on('data', (chunk: Buffer) => {
    try {
      onChunk(chunk);
    } catch (error) {
      reject(error);
      body.destroy();
    }
  });
  body.once('end', resolve).on('error', reject);
  body.once('close', () => reject(Object.assign(new Error('the body was closed'), { code: 'ECONNRESET' })));
  if (body.readableEnded) resolve();
  if (body.destroyed) reject(body.errored ?? new Error('the body was closed before'));
  await promise;
}

/** The body, or its beginning where it is longer, fails, or takes too long. */
async function readSome(
  { body }: HttpResponse,
  { limit, timeoutMs }: { readonly limit: number; readonly timeoutMs: number },
): Promise<readonly Buffer[]> {
  const chunks: Buffer[] = [];
  let size = 0;
  body.on('error', () => undefined);
  const timer = setTimeout(() => body.destroy(), timeoutMs);
  try {
    await readThrough(body, (chunk) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > limit) body.destroy();
    });
  } catch {
    // The status is the answer; how its body ended does not matter.
  } finally {
    clearTimeout(timer);
  }
  await connectionIsFree();
  return chunks;
}

async function decoded(
  chunks: readonly Buffer[],
  response: HttpResponse,
  { request, limit }: { readonly request: HttpRequest; readonly limit: number },
): Promise<Buffer> {
  const bytes = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
  const encoding = header(response, 'content-encoding');
  if (encoding === undefined) return bytes;
  return await decodeContent(bytes, encoding, { request, maxBytes: limit }).catch((error: unknown) => {
    throw error instanceof RangeError ? tooLarge(request, limit, limit) : error;
  });
}

/** Undici takes a connection up again a turn after its answer has ended: a request before that would open another. */
async function connectionIsFree(): Promise<void> {
  await nextTurn();
}

/** With the code of a system error, for that is what a silent connection ends with. */
class TooSlowError extends Error {
  readonly code = 'ETIMEDOUT';

  constructor(bytes: number) {
    super(`the answer comes too slowly: only ${bytes} bytes so far`);
  }
}

function tooLarge(request: HttpRequest, limit: number, found: number): ImgcopyError {
  return new ImgcopyError(
    `${request.method} ${redactUrl(request.url)}: the answer has ${found} bytes or more; at most ${limit} are taken`,
    {
      code: 'ERR_ANSWER_TOO_LARGE',
      side: request.side,
    },
  );
}
