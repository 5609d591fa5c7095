import { addAbortSignal } from 'node:stream';
import type { ImageSourceChunk } from '../../contract/blob-chunk-accessor.ts';
import { BadPartialRequestError } from '../../contract/errors.ts';
import { byteRanges, remainingChunks } from './byte-ranges.ts';
import { answeredBytes } from './range-answer.ts';
import { isCut, RangeBodyError } from './range-errors.ts';
import { NetworkError } from '../send/network-error.ts';
import type { HttpResponse } from '../send/send.ts';
import { Attempts, type AttemptsOptions } from '../../retry/attempts.ts';

/**
 * Sends one GET for ranges of a blob and hands back the answer, whatever its status; failures that it knows to be none of the ranges' may be
 * thrown instead. The signal aborts when nobody waits for the answer any more.
 */
export type FetchRanges = (chunks: readonly ImageSourceChunk[], signal: AbortSignal) => Promise<HttpResponse>;

/** How often and when to ask for the rest of an answer that was cut off. */
export type RangeResumePolicy = Pick<AttemptsOptions, 'policy' | 'notify'>;

/**
 * An answer to ranges is 1 MiB long, often less, so less than that is progress. With five retries, a server that cuts each answer after 13 KB is followed
 * to the end, and one that stalls after every thousand bytes is not.
 */
const PROGRESS_BYTES = 64 * 1024;

export interface RangeBytesOptions {
  readonly signal: AbortSignal;
  /** Default: the rest is not asked for. */
  readonly resume?: RangeResumePolicy | undefined;
  /** Called before each request, with what it asks for, and the cut that made it necessary. */
  readonly onRequest?: ((chunks: readonly ImageSourceChunk[], cut: RangeBodyError | undefined) => void) | undefined;
}

/**
 * The bytes of chunks, one chunk after the other. An answer that is cut off, by an error or by an end that comes too soon, is taken up again: the
 * rest of the chunk and the chunks after it are asked for, and that answer is checked as the first was.
 *
 * @param size  of the blob in bytes.
 * @throws BadPartialRequestError before the first byte alone, for who asks anew would get the bytes that came a second time; later, a refusal is a
 *   RangeBodyError. What else `fetch` and `answeredBytes` throw, after all bytes that came before; the signal's reason when it is aborted.
 */
export async function* rangeBytes(
  fetch: FetchRanges,
  chunks: readonly ImageSourceChunk[],
  size: number,
  { signal, resume, onRequest }: RangeBytesOptions,
): AsyncGenerator<Buffer, void, undefined> {
  let left = chunks;
  let hasBytes = false;
  let cut: RangeBodyError | undefined;
  let position = 0;
  const attempts = resume && new Attempts({ ...resume, signal, progressBytes: PROGRESS_BYTES });
  for (;;) {
    signal.throwIfAborted();
    onRequest?.(left, cut);
    let received = 0;
    try {
      const response = await fetch(left, signal);
      addAbortSignal(signal, response.body);
      for await (const bytes of answeredBytes(response, byteRanges(left, size), size)) {
        received += bytes.length;
        hasBytes = true;
        yield bytes;
      }
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (hasBytes && error instanceof BadPartialRequestError) throw refusedRest(error);
      if (!isCut(error)) throw error;
      cut = error;
    }
    left = remainingChunks(left, received, size);
    if (left.length === 0) return;
    position += received;
    // A source that drips would make some progress each time, for ever.
    if (!isTooSlow(cut)) attempts?.reached(position);
    if (!(await attempts?.again({ why: 'the answer was cut' }))) throw isTooSlow(cut) ? cut.cause : cut;
  }
}

function isTooSlow({ cause }: RangeBodyError): boolean {
  return cause instanceof NetworkError && cause.failure === 'slow';
}

function refusedRest(refusal: BadPartialRequestError): RangeBodyError {
  return new RangeBodyError('ERR_SHORT_RANGE', `a part of the ranges came, and not the rest: ${refusal.message}`, {
    cause: refusal,
  });
}
