import { Readable } from 'node:stream';
import { byteLength } from '../../../io/byte-length.ts';
import type { ByteReader } from '../../../io/byte-reader.ts';

/** Some of a stream's bytes, in memory. */
export class Chunk {
  readonly length: number;
  readonly #pieces: readonly Buffer[];

  constructor(pieces: readonly Buffer[]) {
    this.#pieces = pieces;
    this.length = byteLength(pieces);
  }

  /** Its bytes from an offset on, at most so many; nothing is copied. */
  from(offset: number, most: number = Infinity): Chunk {
    const end = Math.min(this.length, offset + most);
    const pieces: Buffer[] = [];
    let position = 0;
    for (const piece of this.#pieces) {
      const part = piece.subarray(Math.max(0, offset - position), Math.max(0, end - position));
      if (part.length > 0) pieces.push(part);
      position += piece.length;
    }
    return new Chunk(pieces);
  }

  stream(): Readable {
    return Readable.from(this.#pieces, { objectMode: false });
  }
}

/** The next chunk of so many bytes; a shorter one at the end, then undefined. */
export async function readChunk(reader: ByteReader, bytes: number): Promise<Chunk | undefined> {
  const pieces: Buffer[] = [];
  for (let missing = bytes; missing > 0;) {
    const piece = await reader.take(missing);
    if (piece === undefined) break;
    pieces.push(piece);
    missing -= piece.length;
  }
  return pieces.length === 0 ? undefined : new Chunk(pieces);
}
