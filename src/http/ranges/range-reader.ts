import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import type { ImageSourceChunk } from '../../contract/blob-chunk-accessor.ts';
import { isForeignLayer } from '../../manifest/media-types.ts';
import type { BlobInfo } from '../../contract/blob-info.ts';
import { checkChunks } from '../../contract/check-chunks.ts';
import { ByteReader } from '../../io/byte-reader.ts';
import { byteRanges } from './byte-ranges.ts';
import { type FetchRanges, rangeBytes, type RangeBytesOptions } from './range-resume.ts';

export interface ReadRangesOptions extends Omit<RangeBytesOptions, 'signal'> {
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads chunks of a blob over HTTP, on top of a way to send one ranged GET.
 *
 * @returns one reader a chunk, in the order asked; the next comes once the last was read to its end. Leaving the loop, or destroying a reader,
 *   aborts the request. A failure is thrown after the bytes that came before it; where a reader throws it, so does the loop's next step.
 * @throws BadPartialRequestError, from the first step alone, when the server refuses the ranges (400, 416, 501, or one part for many).
 *   RangeBodyError when the answer is cut off more often than `resume` allows, is malformed, or has other bytes than were asked for. What `fetch`
 *   throws, at any step.
 */
export async function* readRanges(
  fetch: FetchRanges,
  info: BlobInfo,
  chunks: readonly ImageSourceChunk[],
  options: ReadRangesOptions = {},
): AsyncGenerator<Readable, void, undefined> {
  checkRanges(info, chunks);
  const leave = new AbortController();
  const signal = options.signal === undefined ? leave.signal : AbortSignal.any([options.signal, leave.signal]);
  const source = new ByteReader(rangeBytes(fetch, chunks, info.size, { ...options, signal }));
  const ranges = byteRanges(chunks, info.size);
  try {
    for (const [index, { start, end }] of ranges.entries()) {
      await source.fill();
      const isLast = index === ranges.length - 1;
      const reader = openReader(source, { length: end - start, isLast, onLeave: () => leave.abort() });
      try {
        yield reader;
        await finished(reader, { signal: options.signal });
      } finally {
        reader.destroy();
      }
    }
  } finally {
    leave.abort();
  }
}

/** Refuses what must not be asked for. @throws ImgcopyError ERR_INVALID_CHUNKS, ERR_FOREIGN_BLOB */
export function checkRanges(info: BlobInfo, chunks: readonly ImageSourceChunk[]): void {
  checkChunks(chunks, info.size);
  if (!isForeignLayer(info)) return;
  throw new ImgcopyError(`ranges of ${info.digest} cannot be read: it is kept at foreign URLs`, {
    code: 'ERR_FOREIGN_BLOB',
  });
}

interface ReaderOptions {
  /** In bytes. */
  readonly length: number;
  /** The last reader ends when the source has ended, and so has checked all that it can check. */
  readonly isLast: boolean;
  /** Called when the reader is destroyed before its end. */
  readonly onLeave: () => void;
}

function openReader(source: ByteReader, { length, isLast, onLeave }: ReaderOptions): Readable {
  let left = length;
  let isComplete = false;
  const deliver = (reader: Readable, bytes: Buffer | undefined): void => {
    left -= bytes?.length ?? 0;
    if (bytes !== undefined) reader.push(bytes);
    isComplete = bytes === undefined || (left === 0 && !isLast);
    if (isComplete) reader.push(null);
  };
  return new Readable({
    // Nothing is read ahead: an error must not overtake bytes that are buffered here.
    highWaterMark: 0,
    read(): void {
      source.take(left).then(
        (bytes) => deliver(this, bytes),
        (error: unknown) => this.destroy(error instanceof Error ? error : new Error(String(error))),
      );
    },
    destroy(error, done): void {
      if (!isComplete) onLeave();
      done(error);
    },
  });
}
