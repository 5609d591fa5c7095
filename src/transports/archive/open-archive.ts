import { createReadStream, type Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { addAbortSignal, type Readable } from 'node:stream';
import type { WaitOptions } from '../../contract/blob-info.ts';
import { ImgcopyError, systemErrorCode } from '../../errors/imgcopy-error.ts';
import { onRead } from '../../local/disk-error.ts';
import { resolveLocalPath } from '../../local/local-path.ts';
import { openRegularFile } from '../../local/regular-file.ts';
import type { Archive } from './archive.ts';

/**
 * Opens what has an archive: a regular file, or what is read once (a named pipe, a device).
 * @param path  relative to the working directory, or absolute; may be a symbolic link.
 * @param reference  the archive, for messages.
 * @throws ImgcopyError of kind `not-found` where nothing is there, ERR_NOT_A_FILE for a directory, InvalidArchiveError.
 */
export async function openArchive(path: string, reference: string, { signal }: WaitOptions = {}): Promise<Archive> {
  const absolute = resolveLocalPath(path);
  const found = await statSource(absolute, reference);
  if (found.isDirectory()) throw isDirectory(reference, path);
  if (found.isFile()) {
    const { openArchiveFile } = await import('./archive-file.ts');
    return await openArchiveFile({ handle: await openRegularFile(absolute), path: absolute, reference, signal });
  }
  const [{ ArchiveStream }, stream] = await Promise.all([import('./archive-stream.ts'), openStream(absolute, found)]);
  return new ArchiveStream(signal === undefined ? stream : addAbortSignal(signal, stream), reference);
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
