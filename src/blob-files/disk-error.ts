import { ImgcopyError, systemErrorCode } from '../errors/imgcopy-error.ts';

/**
 * Runs a step that writes to the disk.
 * @throws ImgcopyError ERR_DISK_FULL or ERR_NOT_WRITABLE, with a hint, where that is why it failed; else its own error.
 */
export async function onDisk<T>(path: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw diskError(error, path);
  }
}

function diskError(error: unknown, path: string): unknown {
  const code = systemErrorCode(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new ImgcopyError(`no space left to write ${path}`, {
      code: 'ERR_DISK_FULL',
      side: 'destination',
      hint: 'free some space there and run it again: what is complete is kept',
      cause: error,
    });
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new ImgcopyError(`cannot write ${path}: ${(error as Error).message}`, {
      code: 'ERR_NOT_WRITABLE',
      side: 'destination',
      hint: 'copy to a directory that the user who runs imgcopy may write to',
      cause: error,
    });
  }
  return error;
}
