/** A piece as long as this is kept as it came, in bytes. */
const LARGE_PIECE = 16 * 1024;
const BLOCK_BYTES = 64 * 1024;

/**
 * Bytes that are collected in memory, of which they take little more than twice their number: large pieces are kept as they came; small ones
 * are copied together, for each would keep the whole packet that it is a part of.
 */
export class CollectedBytes {
  readonly #pieces: Buffer[] = [];
  /** Where small pieces are copied to; what is before it is among the pieces already. */
  #room: Buffer = Buffer.alloc(0);
  #copied = 0;
  #length = 0;

  /** How many there are. */
  get length(): number {
    return this.#length;
  }

  add(piece: Buffer): void {
    this.#length += piece.length;
    if (piece.length >= LARGE_PIECE && piece.length * 2 >= piece.buffer.byteLength) {
      this.#endCopy();
      this.#pieces.push(piece);
      return;
    }
    for (let rest = piece; rest.length > 0;) {
      if (this.#copied === this.#room.length) {
        this.#endCopy();
        this.#room = Buffer.allocUnsafeSlow(BLOCK_BYTES);
      }
      const count = rest.copy(this.#room, this.#copied);
      this.#copied += count;
      rest = rest.subarray(count);
    }
  }

  /** All of them, in the order they came. */
  finish(): readonly Buffer[] {
    this.#endCopy();
    return this.#pieces;
  }

  #endCopy(): void {
    if (this.#copied > 0) this.#pieces.push(this.#room.subarray(0, this.#copied));
    this.#room = this.#room.subarray(this.#copied);
    this.#copied = 0;
  }
}
