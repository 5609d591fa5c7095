import { ImgcopyError } from '../errors/imgcopy-error.ts';
import type { ImageSourceChunk } from './blob-chunk-accessor.ts';

/**
 * Refuses a list of chunks that the contract of `getBlobAt` does not allow: it must not be empty, its chunks must be of one byte at least,
 * sorted by offset and not overlapping, and only the last may go to the end of the blob.
 *
 * @param size  of the blob in bytes, where it is known: no chunk may then go beyond it.
 * @throws ImgcopyError ERR_INVALID_CHUNKS
 */
export function checkChunks(chunks: readonly ImageSourceChunk[], size?: number): void {
  if (chunks.length === 0) throw invalidChunks('the list is empty');
  let previousEnd = 0;
  for (const chunk of chunks) {
    const { offset, length } = chunk;
    const end = length === undefined ? Infinity : offset + length;
    if (!isByteCount(offset) || (length !== undefined && !isByteCount(end))) {
      throw invalidChunks(`${describe(chunk)} is no range of bytes`);
    }
    if (length !== undefined && length < 1) throw invalidChunks(`${describe(chunk)} is empty`);
    if (previousEnd === Infinity) throw invalidChunks(`${describe(chunk)} follows a chunk to the end of the blob`);
    if (offset < previousEnd) throw invalidChunks(`${describe(chunk)} begins before byte ${previousEnd}`);
    if (size !== undefined && (offset >= size || (length !== undefined && end > size))) {
      throw invalidChunks(`${describe(chunk)} goes beyond the ${size} bytes of the blob`);
    }
    previousEnd = end;
  }
}

function isByteCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function describe({ offset, length }: ImageSourceChunk): string {
  return length === undefined ? `chunk ${offset}+` : `chunk ${offset}+${length}`;
}

function invalidChunks(reason: string): ImgcopyError {
  return new ImgcopyError(`invalid chunks of a blob: ${reason}`, { code: 'ERR_INVALID_CHUNKS' });
}
