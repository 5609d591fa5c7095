import { setImmediate as nextTurn } from 'node:timers/promises';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { redactUrl, toNetworkError } from './network-error.ts';
import { header, type HttpRequest, type HttpResponse } from './send.ts';

/** What is read of an answer that nobody needs, to keep its connection, in bytes. */
const DUMP_LIMIT = 128 * 1024;

/**
 * Reads a body into memory.
 * @param limit  in bytes; a longer body is an error, found before it is read where its length is announced.
 */
export async function readBody(response: HttpResponse, request: HttpRequest, limit: number): Promise<Buffer> {
  const announced = Number(header(response, 'content-length') ?? 0);
  if (announced > limit) {
    response.body.destroy();
    throw tooLarge(request, limit, announced);
  }
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > limit) throw tooLarge(request, limit, size);
      chunks.push(chunk);
    }
    await connectionIsFree();
  } catch (error) {
    throw toNetworkError(error, request);
  }
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, size);
}

/** Lets go of a body: reads a short rest, so that the connection can be used again, else closes it. Never throws. */
export async function dumpBody(response: HttpResponse): Promise<void> {
  const { body } = response;
  body.on('error', () => undefined);
  if (Number(header(response, 'content-length') ?? 0) > DUMP_LIMIT) body.destroy();
  let size = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > DUMP_LIMIT) break;
    }
  } catch {
    // The answer is not wanted, and so neither is the way it ended.
  }
  await connectionIsFree();
}

/** Undici takes a connection up again a turn after its answer has ended: a request before that would open another. */
async function connectionIsFree(): Promise<void> {
  await nextTurn();
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
