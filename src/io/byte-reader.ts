/** Takes amounts of one's own choice out of pieces of bytes as they come. It holds one piece at most. */
export class ByteReader {
  readonly #pieces: AsyncIterator<Buffer> | Iterator<Buffer>;
  #held: Buffer | undefined;

  constructor(pieces: AsyncIterable<Buffer> | Iterable<Buffer>) {
    this.#pieces = Symbol.asyncIterator in pieces ? pieces[Symbol.asyncIterator]() : pieces[Symbol.iterator]();
  }

  /** Waits until there are bytes to take, or their end. @returns whether there are any. */
  async fill(): Promise<boolean> {
    if (this.#held !== undefined) return true;
    const { done, value } = await this.#pieces.next();
    this.#held = done === true ? undefined : value;
    return this.#held !== undefined;
  }

  /** Takes bytes as they come, at most `limit`; undefined at their end. */
  async take(limit: number): Promise<Buffer | undefined> {
    await this.fill();
    const held = this.#held;
    if (held === undefined || held.length <= limit) {
      this.#held = undefined;
      return held;
    }
    this.#held = held.subarray(limit);
    return held.subarray(0, limit);
  }

  /** Lets go of the pieces that were not taken. */
  async close(): Promise<void> {
    await this.#pieces.return?.();
  }
}
