import { readdir } from 'node:fs/promises';
import { ImgcopyError, systemErrorCode } from '../errors/imgcopy-error.ts';
import { onRead } from './disk-error.ts';

/**
 * The names in a directory that an image is to be read from.
 * @param reference  the image's name, for messages: `dir:/path`.
 * @throws ImgcopyError ERR_NOT_AN_IMAGE (kind `not-found`) where there is no directory.
 */
export async function listImageDirectory(path: string, reference: string): Promise<readonly string[]> {
  try {
    return await onRead(path, () => readdir(path));
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
    throw new ImgcopyError(`${reference} ${code === 'ENOENT' ? 'does not exist' : 'is not a directory'}`, {
      code: 'ERR_NOT_AN_IMAGE',
      kind: 'not-found',
      side: 'source',
      cause: error,
    });
  }
}
