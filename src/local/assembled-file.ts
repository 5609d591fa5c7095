import { Readable } from 'node:stream';
import type { BlobFile } from './blob-file.ts';
import { ContentMismatchError } from '../digest/digest.ts';
import { assembleBlob, type AssembleBlobInput, type BlobAssembly } from '../partial/fetch/assemble-blob.ts';
import { fetchRanges } from '../partial/fetch/fetch-ranges.ts';
import type { BlobRange } from '../contract/blob-chunk-accessor.ts';
import { PartialBlobUnavailableError } from '../contract/errors.ts';

export interface AssembledFile {
  readonly bytesReused: number;
  /** Of these, what an interrupted run had left. */
  readonly bytesResumed: number;
  /** The blob's table of contents, where it was read. */
  readonly tail: BlobAssembly['tail'];
}

/** What a blob is put together from. */
export type AssembleInput = Omit<AssembleBlobInput, 'offset'>;

/**
 * Writes a blob that is put together from the directory's own blobs, from ranges of the source, and from what an interrupted run left of it;
 * and publishes it. Where the digest is wrong, what did not come from the source in this run is fetched after all.
 *
 * @throws PartialBlobUnavailableError when the blob is best written as one stream, or stays wrong.
 */
export async function writeAssembled(file: BlobFile, input: AssembleInput): Promise<AssembledFile> {
  const { tail, reused } = await writeOnce(file, input);
  try {
    await file.publish();
    return { bytesReused: sumOf(reused) + file.resumed, bytesResumed: file.resumed, tail };
  } catch (error) {
    if (!(error instanceof ContentMismatchError)) throw error;
    await fetchSuspects(file, input, reused, error);
    return { bytesReused: 0, bytesResumed: 0, tail };
  }
}

async function writeOnce(
  file: BlobFile,
  input: AssembleInput,
): Promise<Pick<AssembledFile, 'tail'> & { readonly reused: readonly BlobRange[] }> {
  await using assembly = assembleBlob({ ...input, offset: file.contiguous });
  // Goes on while the rest is fetched; publishing waits for it.
  void file.hashPrefix();
  await file.writeStream(Readable.from(assembly.bytes));
  return { tail: assembly.tail, reused: assembly.reused() };
}

/** Writes what was reused, or left by an earlier run, again: from the source, and nothing else. */
async function fetchSuspects(
  file: BlobFile,
  input: AssembleInput,
  reused: readonly BlobRange[],
  cause: Error,
): Promise<void> {
  const { accessor, info, memory, signal } = input;
  const resumed = file.resumed === 0 ? [] : [{ offset: 0, length: file.resumed }];
  const suspects = [...resumed, ...reused];
  if (suspects.length === 0) throw new PartialBlobUnavailableError('the result has another digest', { cause });
  await file.invalidate(suspects.map(({ offset, length }) => ({ start: offset, end: offset + length })));
  const fetched = fetchRanges(accessor, info, suspects, { memory, signal });
  await writeAt(file, suspects, fetched);
  try {
    await file.publish();
  } catch (error) {
    if (!(error instanceof ContentMismatchError)) throw error;
    throw new PartialBlobUnavailableError('the result has another digest, twice', { cause: error });
  }
}

/** Writes the bytes of ranges, which come one range after the other, each at its place. */
async function writeAt(file: BlobFile, ranges: readonly BlobRange[], source: AsyncIterable<Buffer>): Promise<void> {
  let index = 0;
  let written = 0;
  for await (const chunk of source) {
    for (let rest = chunk; rest.length > 0;) {
      const range = ranges[index];
      if (range === undefined) throw new Error('more bytes were fetched than asked for');
      const part = rest.subarray(0, range.length - written);
      await file.write(part, range.offset + written);
      rest = rest.subarray(part.length);
      written += part.length;
      if (written < range.length) continue;
      index += 1;
      written = 0;
    }
  }
}

function sumOf(ranges: readonly BlobRange[]): number {
  return ranges.reduce((sum, { length }) => sum + length, 0);
}
