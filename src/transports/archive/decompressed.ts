import { Readable, type Transform } from 'node:stream';
import { createGunzip, createZstdDecompress, type Zlib } from 'node:zlib';
import { systemErrorCode } from '../../errors/imgcopy-error.ts';
import { giveBack } from '../../io/slabs.ts';
import { InvalidArchiveError } from './archive-error.ts';

/** How many bytes tell how an archive is compressed. */
export const ARCHIVE_MAGIC_BYTES = 6;

/**
 * How an archive is compressed, by its first bytes; undefined where it is not.
 * @param reference  the archive, for messages.
 * @throws InvalidArchiveError for xz and bzip2, which Node.js cannot decompress.
 */
export function archiveCompression(first: Buffer, reference: string): 'gzip' | 'zstd' | undefined {
  const hex = first.subarray(0, ARCHIVE_MAGIC_BYTES).toString('hex');
  if (hex.startsWith('1f8b')) return 'gzip';
  if (hex.startsWith('28b52ffd') || SKIPPABLE_FRAME.test(hex)) return 'zstd';
  const [, tool] = OTHERS.find(([magic]) => hex.startsWith(magic)) ?? [];
  if (tool === undefined) return undefined;
  throw new InvalidArchiveError(`${reference} is compressed with ${tool}, which is not supported`, {
    hint: `decompress it on the way: ${tool} -dc FILE | imgcopy - DST`,
  });
}

/** pzstd writes one before each frame. @see https://www.rfc-editor.org/rfc/rfc8878#section-3.1.2 */
const SKIPPABLE_FRAME = /^5[0-9a-f]2a4d18/;

const OTHERS = [
  ['fd377a585a00', 'xz'],
  ['425a68', 'bzip2'],
] as const;

/**
 * The archive in a stream that may be compressed, in any number of gzip members or zstd frames. Destroying it destroys the stream.
 * @throws (from the stream) InvalidArchiveError for what cannot be decompressed.
 */
export async function decompressed(stream: Readable, reference: string): Promise<Readable> {
  const pieces = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let head: Buffer = Buffer.alloc(0);
  while (head.length < ARCHIVE_MAGIC_BYTES) {
    const { done, value } = await pieces.next();
    if (done === true) break;
    head = Buffer.concat([head, value]);
  }
  const compression = archiveCompression(head, reference);
  const whole = withHead(head, pieces, stream);
  const archive = compression === undefined ? whole : contentOf(whole, compression, reference);
  // One piece at a time: a stream of bytes joins those that it gives at once.
  return Readable.from(archive, { objectMode: true, highWaterMark: 1 });
}

type Decoder = Transform & Zlib;

const LARGE = { chunkSize: 256 * 1024 };
const NOTHING = Buffer.alloc(0);

async function* contentOf(
  whole: AsyncGenerator<Buffer>,
  compression: 'gzip' | 'zstd',
  reference: string,
): AsyncGenerator<Buffer> {
  try {
    if (compression === 'gzip') yield* decode(createGunzip(LARGE), await nextOf(whole), whole);
    else yield* zstdFrames(whole);
  } catch (error) {
    if (!/^(?:Z_|ZSTD_)/.test(systemErrorCode(error) ?? '')) throw error;
    const message = `${reference} is not valid ${compression} data: ${(error as Error).message}`;
    throw new InvalidArchiveError(message, { cause: error });
  } finally {
    await whole.return(undefined);
  }
}

/** A decoder of Node.js ends with a zstd frame that has bytes behind it, so the next frame gets a new one. Of gzip members, it takes all. */
async function* zstdFrames(whole: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  let rest = await nextOf(whole);
  while (rest.length > 0) rest = yield* decode(createZstdDecompress(LARGE), rest, whole);
}

/** Decodes to the end of what one decoder takes, no faster than it is read. @returns what it left. */
async function* decode(decoder: Decoder, first: Buffer, more: AsyncGenerator<Buffer>): AsyncGenerator<Buffer, Buffer> {
  const feeding = feed(decoder, first, more);
  feeding.catch((error: Error) => decoder.destroy(error));
  yield* decoder as AsyncIterable<Buffer>;
  return await feeding;
}

async function feed(decoder: Decoder, first: Buffer, more: AsyncGenerator<Buffer>): Promise<Buffer> {
  for (let piece = first; piece.length > 0; piece = await nextOf(more)) {
    const before = decoder.bytesWritten;
    await new Promise<void>((resolve, reject) => {
      decoder.write(piece, (error) => (error ? reject(error) : resolve()));
    });
    const taken = decoder.bytesWritten - before;
    giveBack(piece.subarray(0, taken));
    if (taken < piece.length) return piece.subarray(taken);
  }
  decoder.end();
  return NOTHING;
}

/** Empty at the end. */
async function nextOf(pieces: AsyncGenerator<Buffer>): Promise<Buffer> {
  for (;;) {
    const { done, value } = await pieces.next();
    if (done === true) return NOTHING;
    if (value.length > 0) return value;
  }
}

async function* withHead(head: Buffer, rest: AsyncIterator<Buffer>, stream: Readable): AsyncGenerator<Buffer> {
  try {
    yield head;
    for (;;) {
      const { done, value } = await rest.next();
      if (done === true) return;
      yield value;
    }
  } finally {
    stream.destroy();
  }
}
