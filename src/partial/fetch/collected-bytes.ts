import { giveBack, SLAB_BYTES, takeSlab } from '../../io/slabs.ts';

/** A piece as long as this is kept as it came, in bytes. */
const LARGE_PIECE = 16 * 1024;
const BLOCK_BYTES = 64 * 1024;

/**
 * Bytes that are collected in memory, of which they take little more than twice their number: large pieces are kept as they came; small ones
 * are copied together, for each would keep the whole packet that it is a part of.
 *
 * Where whoever takes them gives them back, all are copied into slabs: packets that live as long as it takes other ranges to come, and then go all at once,
 * make the allocator keep far more memory than is ever in use.
 */
export class CollectedBytes {
  /** How many of those that are expected have not come, where slabs are used. */
  #toSlabs: number;
  readonly #pieces: Buffer[] = [];
  /** Where small pieces are copied to; what is before it is among the pieces already. */
  #room: Buffer = Buffer.alloc(0);
  #copied = 0;
  #length = 0;

  /** @param options.toSlabs  so many bytes are expected, and will be given back. Default 0: they are not. */
  constructor({ toSlabs = 0 }: { readonly toSlabs?: number } = {}) {
    this.#toSlabs = toSlabs;
  }

  /** How many there are. */
  get length(): number {
    return this.#length;
  }

  add(piece: Buffer): void {
    this.#length += piece.length;
    const isToSlabs = this.#toSlabs > 0;
    if (!isToSlabs && piece.length >= LARGE_PIECE && piece.length * 2 >= piece.buffer.byteLength) {
      this.#endCopy();
      this.#pieces.push(piece);
      return;
    }
    for (let rest = piece; rest.length > 0;) {
      if (this.#copied === this.#room.length) {
        this.#endCopy();
        // Few bytes are not worth a slab.
        this.#room = this.#toSlabs >= SLAB_BYTES / 2 ? takeSlab() : Buffer.allocUnsafeSlow(BLOCK_BYTES);
      }
      const count = rest.copy(this.#room, this.#copied);
      this.#copied += count;
      this.#toSlabs = Math.max(0, this.#toSlabs - count);
      rest = rest.subarray(count);
    }
  }

  /** All of them, in the order they came. */
  finish(): readonly Buffer[] {
    this.#endCopy();
    giveBack(this.#room);
    return this.#pieces;
  }

  #endCopy(): void {
    if (this.#copied > 0) this.#pieces.push(this.#room.subarray(0, this.#copied));
    this.#room = this.#room.subarray(this.#copied);
    this.#copied = 0;
  }
}
