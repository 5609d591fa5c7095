import { createHash } from 'node:crypto';
import { UnusableTailError } from './unusable-tail-error.ts';

/** A stretch of a blob that was compressed by itself: a frame or a member. */
export interface Piece {
  /** In bytes, from the start of the blob. */
  readonly offset: number;
  /** Compressed, in bytes. */
  readonly length: number;
  /** Equal for pieces of the same uncompressed bytes in the same format. */
  readonly identity: string;
}

/** Pieces one after the other, from the start of a blob up to its tail. */
export class PieceList {
  readonly #pieces: Piece[] = [];
  readonly #tailOffset: number;
  #end = 0;

  constructor(tailOffset: number) {
    this.#tailOffset = tailOffset;
  }

  /**
   * Adds the piece that goes from the end of the last one up to `end`.
   * @throws UnusableTailError where that is no stretch of the blob.
   */
  addUpTo(end: number, identity: string): void {
    if (end <= this.#end || end > this.#tailOffset)
      throw new UnusableTailError('its entries overlap or leave the blob');
    this.#pieces.push({ offset: this.#end, length: end - this.#end, identity });
    this.#end = end;
  }

  /** All pieces, after one more for the rest, if there is a rest. */
  finish(identity: string): readonly Piece[] {
    if (this.#end < this.#tailOffset) this.addUpTo(this.#tailOffset, identity);
    return this.#pieces;
  }
}

/** The identity of a piece, from what it is made of, in order. */
export class PieceIdentity {
  readonly #kind: string;
  readonly #hash = createHash('sha256');

  /** @param kind  keeps pieces apart that are written in different ways. */
  constructor(kind: string) {
    this.#kind = kind;
  }

  add(part: string | number): void {
    this.#hash.update(`${part}\n`);
  }

  finish(): string {
    return `${this.#kind} ${this.#hash.digest('hex')}`;
  }
}
