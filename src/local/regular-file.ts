import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { ContentMismatchError } from '../digest/digest.ts';
import { ImgcopyError, systemErrorCode } from '../errors/imgcopy-error.ts';
import type { ByteRange } from '../io/byte-range.ts';
import { Semaphore } from '../io/semaphore.ts';
import { slabStream } from '../io/slab-stream.ts';
import { SLAB_BYTES } from '../io/slabs.ts';
import { onRead } from './disk-error.ts';

/** Where they become garbage, larger pieces pile up: 20 to 30 MB more before they are collected. */
const READ_BYTES = 128 * 1024;

/**
 * Opens a file for reading that must be a regular one: opening a named pipe would wait for its writer for ever.
 * @throws ImgcopyError ERR_NOT_A_FILE, or the system's error
 */
export async function openRegularFile(path: string, options: RegularFileOptions = {}): Promise<FileHandle> {
  const handle = await openWith(path, options);
  try {
    if (!(await handle.stat()).isFile()) throw notAFile(path, 'not a regular file');
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

export interface RegularFileOptions {
  /** Whether the path may be a symbolic link to the file. Default true. */
  readonly followLink?: boolean | undefined;
}

export interface ReadFileOptions extends RegularFileOptions {
  /** In bytes. */
  readonly limit: number;
  /** Makes the error for a file that is longer. */
  readonly tooLarge: (size: number) => Error;
}

/**
 * Reads a small file that must be a regular one.
 * @returns undefined where there is none.
 * @throws ImgcopyError ERR_NOT_A_FILE, `tooLarge`, or the system's error
 */
export async function readRegularFile(path: string, options: ReadFileOptions): Promise<Buffer | undefined> {
  const { limit, tooLarge } = options;
  try {
    return await withSmallFile(async () => {
      await using file = await openRegularFile(path, options);
      const { size } = await file.stat();
      if (size > limit) throw tooLarge(size);
      return await onRead(path, () => file.readFile());
    });
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** An index may name thousands of manifests: so many of their files are open at a time, in the whole process. */
const smallFiles = new Semaphore(16);

/** Does what opens one small file, and closes it, once few others are open. */
export async function withSmallFile<T>(work: () => Promise<T>): Promise<T> {
  const release = await smallFiles.acquire();
  try {
    return await work();
  } finally {
    release();
  }
}

async function openWith(path: string, { followLink = true }: RegularFileOptions): Promise<FileHandle> {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | (followLink ? 0 : constants.O_NOFOLLOW);
  try {
    return await onRead(path, () => open(path, flags));
  } catch (error) {
    if (followLink || systemErrorCode(error) !== 'ELOOP') throw error;
    throw notAFile(path, 'a symbolic link, and could lead to any file');
  }
}

function notAFile(path: string, what: string): ImgcopyError {
  return new ImgcopyError(`${path} is ${what}`, { code: 'ERR_NOT_A_FILE' });
}

/** Whether a regular file is there, of so many bytes; undefined: of any size. */
export async function isFileOfSize(path: string, size: number | undefined): Promise<boolean> {
  try {
    const found = await stat(path);
    return found.isFile() && (size === undefined || found.size === size);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

export interface StreamRangeOptions {
  /** Whether who reads keeps none of the bytes, and gives them back (`io/slabs.ts`). Default false. */
  readonly givesBack?: boolean | undefined;
}

/**
 * Streams a part of an open file, which stays open. While a piece is consumed, the next is read; at most two are held, of 512 KiB each.
 * @param path  for messages.
 * @throws (from the stream) ContentMismatchError when the file ends before the range, ImgcopyError ERR_NOT_READABLE.
 */
export function streamRange(
  handle: FileHandle,
  { start, end }: ByteRange,
  path: string,
  { givesBack = false }: StreamRangeOptions = {},
): Readable {
  let position = start;
  const fill = async (room: Buffer): Promise<number> => {
    const length = Math.min(room.length, end - position);
    if (length === 0) return 0;
    const { bytesRead } = await onRead(path, () => handle.read(room, 0, length, position));
    if (bytesRead === 0) {
      throw new ContentMismatchError('the file became shorter while it was read', `${end} bytes`, `${position} bytes`);
    }
    position += bytesRead;
    return bytesRead;
  };
  // Few bytes are not worth a slab.
  if (givesBack && end - start >= SLAB_BYTES / 2) return slabStream(fill);
  return Readable.from(filledPieces(end - start, fill), { objectMode: true, highWaterMark: 1 });
}

async function* filledPieces(size: number, fill: (room: Buffer) => Promise<number>): AsyncGenerator<Buffer> {
  for (let left = size; left > 0;) {
    const room = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, left));
    const count = await fill(room);
    left -= count;
    yield room.subarray(0, count);
  }
}
