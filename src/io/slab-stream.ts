import { Readable } from 'node:stream';
import { giveBack, takeSlab } from './slabs.ts';

/**
 * A stream of what is read into slabs, one ahead of who reads; to be given back.
 * @param read  fills a part of the room from its first byte on. @returns the number of bytes; 0 at the end.
 */
export function slabStream(read: (room: Buffer) => Promise<number>): Readable {
  // One slab at a time: a stream of bytes joins those that it gives at once.
  return Readable.from(filledSlabs(read), { objectMode: true, highWaterMark: 1 });
}

async function* filledSlabs(read: (room: Buffer) => Promise<number>): AsyncGenerator<Buffer> {
  for (;;) {
    const slab = takeSlab();
    const count = await read(slab);
    giveBack(slab.subarray(count));
    if (count === 0) return;
    yield slab.subarray(0, count);
  }
}
