import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { ContentMismatchError } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import type { ByteRange } from '../../blob-files/byte-ranges.ts';

// Pieces of 256 KiB were no faster, and garbage of 20 to 30 MB more piled up before it was collected.
const READ_BYTES = 128 * 1024;

/**
 * Opens a file for reading that must be a regular one: opening a named pipe would wait for its writer for ever.
 * @throws ImgcopyError ERR_NOT_A_FILE, or the system's error
 */
export async function openRegularFile(path: string): Promise<FileHandle> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!(await handle.stat()).isFile()) {
      throw new ImgcopyError(`${path} is not a regular file`, { code: 'ERR_NOT_A_FILE' });
    }
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * Streams a part of an open file, which stays open. At most 384 KiB are held.
 * @throws (from the stream) ContentMismatchError when the file ends before the range.
 */
export function streamRange(handle: FileHandle, range: ByteRange): Readable {
  return Readable.from(readPieces(handle, range), { objectMode: false, highWaterMark: 2 * READ_BYTES });
}

async function* readPieces(handle: FileHandle, { start, end }: ByteRange): AsyncGenerator<Buffer> {
  let position = start;
  while (position < end) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, end - position));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) {
      throw new ContentMismatchError('the file became shorter while it was read', `${end} bytes`, `${position} bytes`);
    }
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
