import { Readable } from 'node:stream';

/** Some of a stream's bytes, in memory. */
export class Chunk {
  readonly length: number;
  readonly #pieces: readonly Buffer[];

  constructor(pieces: readonly Buffer[]) {
    this.#pieces = pieces;
    this.length = pieces.reduce((sum, piece) => sum + piece.length, 0);
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

/** Reads a stream in chunks of the sizes that are asked for. */
export class ChunkReader {
  readonly #source: AsyncIterator<Buffer> | Iterator<Buffer>;
  #left: Buffer | undefined;

  constructor(source: AsyncIterable<Buffer> | Iterable<Buffer>) {
    this.#source = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  }

  /** The next chunk of so many bytes; a shorter one at the end, then undefined. */
  async read(bytes: number): Promise<Chunk | undefined> {
    const pieces: Buffer[] = [];
    for (let missing = bytes; missing > 0;) {
      const piece = await this.#next();
      if (piece === undefined) break;
      const taken = piece.subarray(0, missing);
      if (taken.length < piece.length) this.#left = piece.subarray(missing);
      pieces.push(taken);
      missing -= taken.length;
    }
    return pieces.length === 0 ? undefined : new Chunk(pieces);
  }

  async #next(): Promise<Buffer | undefined> {
    const left = this.#left;
    this.#left = undefined;
    if (left !== undefined) return left;
    const { done, value } = await this.#source.next();
    return done === true ? undefined : value;
  }
}
