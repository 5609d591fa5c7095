import { RangeBodyError } from './range-errors.ts';

/** Reads packets in the steps of a grammar. It holds the packet at hand, and more only while a step needs bytes of the next. */
export class MultipartInput {
  readonly #packets: AsyncIterator<Buffer>;
  #held: Buffer;

  /** @param first  bytes that stand before those of the packets. */
  constructor(packets: AsyncIterator<Buffer>, first: Buffer) {
    this.#packets = packets;
    this.#held = first;
  }

  /**
   * Takes the bytes before a mark, and the mark with them.
   * @param limit  of the bytes before the mark.
   */
  async takeUntil(mark: Buffer, limit: number, what: string): Promise<Buffer> {
    let searched = 0;
    for (;;) {
      const at = this.#held.indexOf(mark, searched);
      if (at > limit || (at === -1 && this.#held.length >= limit + mark.length)) {
        throw new RangeBodyError('ERR_BAD_MULTIPART', `${what} is longer than ${limit} bytes`);
      }
      if (at !== -1) return this.#take(at + mark.length).subarray(0, at);
      searched = Math.max(0, this.#held.length - mark.length + 1);
      await this.#receive();
    }
  }

  /** Takes bytes as they are at hand: at least one, at most `limit`, which is 1 or more. */
  async takeSome(limit: number): Promise<Buffer> {
    while (this.#held.length === 0) await this.#receive();
    return this.#take(Math.min(limit, this.#held.length));
  }

  /** The next `count` bytes, which are not taken. */
  async peek(count: number): Promise<Buffer> {
    while (this.#held.length < count) await this.#receive();
    return this.#held.subarray(0, count);
  }

  /** Takes `count` bytes of those peeked at. */
  skip(count: number): void {
    this.#take(count);
  }

  /** Reads to the end, where that comes within `limit` bytes. */
  async finish(limit: number): Promise<void> {
    for (let left = limit - this.#held.length; left >= 0;) {
      const { done, value } = await this.#packets.next();
      if (done === true) return;
      left -= value.length;
    }
  }

  /** Lets go of the packets. */
  async close(): Promise<void> {
    await this.#packets.return?.();
  }

  #take(count: number): Buffer {
    const taken = this.#held.subarray(0, count);
    this.#held = this.#held.subarray(count);
    return taken;
  }

  async #receive(): Promise<void> {
    const { done, value } = await this.#packets.next();
    if (done === true) throw new RangeBodyError('ERR_SHORT_RANGE', 'the answer ended before its last part did');
    this.#held = this.#held.length === 0 ? value : Buffer.concat([this.#held, value]);
  }
}
