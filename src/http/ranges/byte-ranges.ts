import type { ByteRange } from '../../io/byte-range.ts';
import type { ImageSourceChunk } from '../../contract/blob-chunk-accessor.ts';

/**
 * The value of a `Range` header that asks for chunks, e.g. `bytes=0-4,10-`.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-14.2
 */
export function formatRange(chunks: readonly ImageSourceChunk[]): string {
  return `bytes=${chunks.map(formatSpec).join(',')}`;
}

/** Where chunks begin and end in a blob of `size` bytes. */
export function byteRanges(chunks: readonly ImageSourceChunk[], size: number): ByteRange[] {
  return chunks.map(({ offset, length }) => ({ start: offset, end: length === undefined ? size : offset + length }));
}

/** What is still to be read of chunks of a blob of `size` bytes once the first `received` bytes of them are there. */
export function remainingChunks(
  chunks: readonly ImageSourceChunk[],
  received: number,
  size: number,
): readonly ImageSourceChunk[] {
  let done = received;
  for (const [index, { offset, length }] of chunks.entries()) {
    const available = length ?? size - offset;
    if (done < available) {
      const rest = { offset: offset + done, length: length === undefined ? undefined : length - done };
      return [rest, ...chunks.slice(index + 1)];
    }
    done -= available;
  }
  return [];
}

/** A range as messages show it, in the form of Content-Range. */
export function describeRange({ start, end }: ByteRange): string {
  return `${start}-${end - 1}`;
}

function formatSpec({ offset, length }: ImageSourceChunk): string {
  return length === undefined ? `${offset}-` : `${offset}-${offset + length - 1}`;
}
