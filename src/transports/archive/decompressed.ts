import { pipeline, Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
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
  if (hex.startsWith('28b52ffd')) return 'zstd';
  const [, tool] = OTHERS.find(([magic]) => hex.startsWith(magic)) ?? [];
  if (tool === undefined) return undefined;
  throw new InvalidArchiveError(`${reference} is compressed with ${tool}, which is not supported`, {
    hint: `decompress it on the way: ${tool} -dc FILE | imgcopy - DST`,
  });
}

const OTHERS = [
  ['fd377a585a00', 'xz'],
  ['425a68', 'bzip2'],
] as const;

/** The archive in a stream that may be compressed. Destroying it destroys the stream. */
export async function decompressed(stream: Readable, reference: string): Promise<Readable> {
  const pieces = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let head: Buffer = Buffer.alloc(0);
  while (head.length < ARCHIVE_MAGIC_BYTES) {
    const { done, value } = await pieces.next();
    if (done === true) break;
    head = Buffer.concat([head, value]);
  }
  const compression = archiveCompression(head, reference);
  const whole = Readable.from(withHead(head, pieces, stream), { objectMode: false });
  if (compression === undefined) return whole;
  const decoder = compression === 'gzip' ? createGunzip(LARGE) : createZstdDecompress(LARGE);
  return pipeline(whole, decoder, () => undefined);
}

const LARGE = { chunkSize: 256 * 1024 };

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
