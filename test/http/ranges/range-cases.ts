import { formatRange } from '../../../src/http/ranges/byte-ranges.ts';
import type { ByteRange } from '../../../src/io/byte-range.ts';
import { readRanges, type ReadRangesOptions } from '../../../src/http/ranges/range-reader.ts';
import { DEFAULT_RETRY_POLICY, type NextAttempt } from '../../../src/retry/attempts.ts';
import type { HttpResponse } from '../../../src/http/send/send.ts';
import type { ImageSourceChunk } from '../../../src/contract/blob-chunk-accessor.ts';
import type { BlobInfo } from '../../../src/contract/blob-info.ts';
import { infoOf, readAll, type ReadOutcome, sampleBlob } from './range-answers.ts';

export const BLOB: Buffer = sampleBlob(100);
export const INFO: BlobInfo = infoOf(BLOB);
export const ONE: readonly ImageSourceChunk[] = [{ offset: 10, length: 5 }];
export const THREE: readonly ImageSourceChunk[] = [{ offset: 0, length: 5 }, { offset: 10, length: 5 }, { offset: 90 }];
export const RANGES: readonly [ByteRange, ByteRange, ByteRange] = [
  { start: 0, end: 5 },
  { start: 10, end: 15 },
  { start: 90, end: 100 },
];

/** So many retries, which wait not at all and are noted. */
export function retries(count: number, noted: NextAttempt[] = []): NonNullable<ReadRangesOptions['resume']> {
  const policy = { ...DEFAULT_RETRY_POLICY, retries: count, random: () => 1, sleep: () => Promise.resolve() };
  return { policy, notify: (next) => void noted.push(next) };
}

/** Reads chunks from answers, one a request; an Error stands for a failed request. */
export async function readFrom(
  answers: readonly (HttpResponse | Error)[],
  chunks: readonly ImageSourceChunk[],
  options?: ReadRangesOptions,
): Promise<ReadOutcome & { readonly requests: readonly string[] }> {
  const requests: string[] = [];
  const fetch = (asked: readonly ImageSourceChunk[]): Promise<HttpResponse> => {
    const answer = answers[requests.push(formatRange(asked)) - 1];
    return answer instanceof Error || answer === undefined
      ? Promise.reject(answer ?? new Error('one request too many'))
      : Promise.resolve(answer);
  };
  return { ...(await readAll(readRanges(fetch, INFO, chunks, options))), requests };
}
