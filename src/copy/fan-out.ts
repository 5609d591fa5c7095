import { once } from 'node:events';
import { PassThrough, type Readable } from 'node:stream';
import type { BlobRange } from '../contract/blob-chunk-accessor.ts';

/** How much a taker may be behind, in bytes. */
const TAKER_BUFFER = 128 * 1024;

export interface FanOutOptions {
  /** What the source gives, one range after the other: sorted, not overlapping. */
  readonly ranges: readonly BlobRange[];
  /** What each taker wants of it: ranges within those, sorted, not overlapping. */
  readonly takers: readonly (readonly BlobRange[])[];
  /** Called when all have left before the end. */
  readonly onDeserted: () => void;
  /** Called with each packet that a taker has taken. */
  readonly onTaken?: ((taker: number) => void) | undefined;
}

/**
 * Gives one read of a blob to several takers, so that a source is read once: as fast as the slowest of them. Each gets its own ranges, one after the other.
 * One that leaves is not waited for any more. Where the source fails, so does the stream of each taker that still wants something.
 */
export function fanOut(source: AsyncIterable<Buffer>, options: FanOutOptions): readonly Readable[] {
  const end = endOf(options.ranges);
  const takers = options.takers.map(
    (wanted, index) => new Taker(wanted, { end, onTaken: () => options.onTaken?.(index) }),
  );
  void pass(source, takers, options);
  return takers.map(({ stream }) => stream);
}

async function pass(
  source: AsyncIterable<Buffer>,
  takers: readonly Taker[],
  { ranges, onDeserted }: FanOutOptions,
): Promise<void> {
  let isOver = false;
  for (const { stream } of takers) {
    // Whoever reads the stream hears of its error; here it is only the end of a wait.
    stream
      .on('error', () => undefined)
      .once('close', () => {
        if (!isOver && takers.every((taker) => taker.isGone)) onDeserted();
      });
  }
  const position = new Position(ranges);
  try {
    for await (const packet of source) {
      for (const { offset, bytes } of position.place(packet)) {
        const staying = takers.filter((taker) => !taker.isGone);
        if (staying.length === 0) return;
        await Promise.all(staying.map((taker) => taker.give(offset, bytes)));
      }
    }
    for (const taker of takers) taker.end();
  } catch (error) {
    const failure = error instanceof Error ? error : new Error(String(error));
    for (const { stream } of takers) if (!stream.writableEnded) stream.destroy(failure);
  } finally {
    isOver = true;
  }
}

/** Tells where the bytes of a read belong in the blob. */
class Position {
  readonly #ranges: readonly BlobRange[];
  #index = 0;
  #done = 0;

  constructor(ranges: readonly BlobRange[]) {
    this.#ranges = ranges;
  }

  *place(packet: Buffer): Generator<{ readonly offset: number; readonly bytes: Buffer }> {
    for (let rest = packet; rest.length > 0;) {
      const range = this.#ranges[this.#index];
      // More than there is in the blob: whoever takes its end finds that it is too long.
      if (range === undefined) {
        yield { offset: Infinity, bytes: rest };
        return;
      }
      const bytes = rest.subarray(0, range.length - this.#done);
      yield { offset: range.offset + this.#done, bytes };
      rest = rest.subarray(bytes.length);
      this.#done += bytes.length;
      if (this.#done < range.length) continue;
      this.#index += 1;
      this.#done = 0;
    }
  }
}

function endOf(ranges: readonly BlobRange[]): number {
  const last = ranges.at(-1);
  return last === undefined ? 0 : last.offset + last.length;
}

class Taker {
  readonly stream: PassThrough = new PassThrough({ highWaterMark: TAKER_BUFFER });
  readonly #wanted: readonly BlobRange[];
  readonly #onTaken: () => void;
  /** Whether it wants the last byte of the read: only the end shows that there is no more. */
  readonly #takesEnd: boolean;
  #index = 0;

  constructor(wanted: readonly BlobRange[], { end, onTaken }: { readonly end: number; readonly onTaken: () => void }) {
    this.#wanted = wanted;
    this.#takesEnd = endOf(wanted) === end;
    this.#onTaken = onTaken;
  }

  /** Whether it takes nothing more: it has left, or has all. */
  get isGone(): boolean {
    return this.stream.destroyed || this.stream.writableEnded;
  }

  end(): void {
    if (!this.isGone) this.stream.end();
  }

  /** Resolves once there is room for more. */
  async give(offset: number, bytes: Buffer): Promise<void> {
    if (offset === Infinity) return this.#write(bytes);
    const end = offset + bytes.length;
    for (let range = this.#wanted[this.#index]; range !== undefined && range.offset < end;) {
      const rangeEnd = range.offset + range.length;
      const part = bytes.subarray(Math.max(0, range.offset - offset), Math.max(0, rangeEnd - offset));
      if (part.length > 0) await this.#write(part);
      if (rangeEnd > end) return;
      this.#index += 1;
      range = this.#wanted[this.#index];
    }
    // It need not wait for what others want further on.
    if (this.#index === this.#wanted.length && !this.#takesEnd) this.end();
  }

  async #write(bytes: Buffer): Promise<void> {
    const { stream } = this;
    if (this.isGone) return;
    if (!stream.write(bytes)) {
      const over = new AbortController();
      const { signal } = over;
      // An error comes with a close.
      await Promise.race([once(stream, 'drain', { signal }), once(stream, 'close', { signal })]).catch(() => undefined);
      over.abort();
    }
    this.#onTaken();
  }
}
