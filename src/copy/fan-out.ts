import { once } from 'node:events';
import { PassThrough, type Readable } from 'node:stream';

/** How much a taker may be behind, in bytes. */
const TAKER_BUFFER = 256 * 1024;

/**
 * One stream for several takers, so that a source is read once: as fast as the slowest of them. One that leaves is not waited for any more; when all have
 * left, the source is let go. Where the source fails, so does the stream of each taker.
 */
export function fanOut(source: Readable, takers: number): readonly Readable[] {
  const streams = Array.from({ length: takers }, () => new PassThrough({ highWaterMark: TAKER_BUFFER }));
  void pass(source, streams);
  return streams;
}

async function pass(source: Readable, streams: readonly PassThrough[]): Promise<void> {
  const staying = (): readonly PassThrough[] => streams.filter((stream) => !stream.destroyed);
  const leave = (): void => void (staying().length === 0 && source.destroy());
  // Whoever reads a stream hears of its error; here it is only the end of a wait. Leaving the loop is an error of the source.
  source.on('error', () => undefined);
  for (const stream of streams) stream.on('error', () => undefined).once('close', leave);
  try {
    for await (const bytes of source as AsyncIterable<Buffer>) {
      const takers = staying();
      if (takers.length === 0) return;
      await Promise.all(takers.map((one) => give(one, bytes)));
    }
    for (const stream of staying()) stream.end();
  } catch (error) {
    for (const stream of staying()) stream.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}

async function give(stream: PassThrough, bytes: Buffer): Promise<void> {
  if (stream.write(bytes)) return;
  const over = new AbortController();
  const { signal } = over;
  // An error comes with a close.
  await Promise.race([once(stream, 'drain', { signal }), closed(stream, signal)]).catch(() => undefined);
  over.abort();
}

async function closed(stream: PassThrough, signal: AbortSignal): Promise<void> {
  if (!stream.closed) await once(stream, 'close', { signal });
}
