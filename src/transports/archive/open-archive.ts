import { createReadStream, fstat, read, type Stats } from 'node:fs';
import { stat, type FileHandle } from 'node:fs/promises';
import { addAbortSignal, type Readable } from 'node:stream';
import { isatty } from 'node:tty';
import { promisify } from 'node:util';
import type { WaitOptions } from '../../contract/blob-info.ts';
import { ImgcopyError, systemErrorCode } from '../../errors/imgcopy-error.ts';
import { slabStream } from '../../io/slab-stream.ts';
import { onRead } from '../../local/disk-error.ts';
import { resolveLocalPath } from '../../local/local-path.ts';
import { openRegularFile } from '../../local/regular-file.ts';
import type { Archive } from './archive.ts';
import type { ArchiveStreamOptions } from './archive-stream.ts';
import { ARCHIVE_MAGIC_BYTES, archiveCompression, decompressed } from './decompressed.ts';

export interface OpenArchiveOptions extends WaitOptions, ArchiveStreamOptions {}

/**
 * Opens what has an archive: a regular file, or what is read once (a named pipe, a device).
 * @param path  relative to the working directory, or absolute; may be a symbolic link.
 * @param reference  the archive, for messages.
 * @throws ImgcopyError of kind `not-found` where nothing is there, ERR_NOT_A_FILE for a directory, InvalidArchiveError.
 */
export async function openArchive(path: string, reference: string, options: OpenArchiveOptions = {}): Promise<Archive> {
  const absolute = resolveLocalPath(path);
  const found = await statSource(absolute, reference);
  if (found.isDirectory()) throw isDirectory(reference, path);
  if (!found.isFile()) return await readStream(await openStream(absolute, found), reference, options);
  const handle = await openRegularFile(absolute);
  if (await isCompressed(handle, reference)) {
    return await readStream(handle.createReadStream({ start: 0, highWaterMark: READ_BYTES }), reference, options);
  }
  const { openArchiveFile } = await import('./archive-file.ts');
  return await openArchiveFile({ handle, path: absolute, reference, signal: options.signal });
}

/**
 * Opens what comes by standard input.
 * @throws ImgcopyError ERR_USAGE where that is a terminal.
 */
export async function openStandardInput(reference: string, options: OpenArchiveOptions = {}): Promise<Archive> {
  if (isatty(STANDARD_INPUT)) {
    throw new ImgcopyError('standard input is a terminal, not an archive', {
      code: 'ERR_USAGE',
      kind: 'usage',
      side: 'source',
      hint: 'pipe an archive into it: docker save app | imgcopy - DST',
    });
  }
  return await readStream(await standardInput(), reference, options);
}

const STANDARD_INPUT = 0;
const statOpen = promisify(fstat);
const readFrom = promisify(read);

/** What can be read into slabs is, past `process.stdin`, which is read in pieces of 64 KiB at most. */
async function standardInput(): Promise<Readable> {
  const found = await statOpen(STANDARD_INPUT);
  if (found.isFIFO() || found.isSocket()) {
    const { PipeStream } = await import('../../io/pipe-stream.ts');
    return new PipeStream(STANDARD_INPUT);
  }
  if (!found.isFile()) return process.stdin;
  return slabStream(async (room) => (await readFrom(STANDARD_INPUT, room, 0, room.length, null)).bytesRead);
}

async function readStream(
  stream: Readable,
  reference: string,
  { signal, onBlobAhead }: OpenArchiveOptions,
): Promise<Archive> {
  if (signal !== undefined) addAbortSignal(signal, stream);
  const [{ ArchiveStream }, archive] = await Promise.all([
    import('./archive-stream.ts'),
    decompressed(stream, reference),
  ]);
  return new ArchiveStream(archive, reference, { onBlobAhead });
}

async function isCompressed(handle: FileHandle, reference: string): Promise<boolean> {
  try {
    const first = Buffer.alloc(ARCHIVE_MAGIC_BYTES);
    await handle.read(first, 0, first.length, 0);
    return archiveCompression(first, reference) !== undefined;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function statSource(path: string, reference: string): Promise<Stats> {
  try {
    return await onRead(path, () => stat(path));
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
    throw new ImgcopyError(`${reference} does not exist`, {
      code: 'ERR_NOT_AN_IMAGE',
      kind: 'not-found',
      side: 'source',
      cause: error,
    });
  }
}

function isDirectory(reference: string, path: string): ImgcopyError {
  return new ImgcopyError(`${reference} is a directory, not an archive`, {
    code: 'ERR_NOT_A_FILE',
    kind: 'usage',
    side: 'source',
    hint: `an OCI layout in a directory is read as oci:${path}, and an image directory as dir:${path}`,
  });
}

async function openStream(path: string, found: Stats): Promise<Readable> {
  if (!found.isFIFO()) return createReadStream(path, { highWaterMark: READ_BYTES });
  const { readNamedPipe } = await import('./named-pipe.ts');
  return await readNamedPipe(path);
}

const READ_BYTES = 256 * 1024;
