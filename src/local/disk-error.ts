import { ImgcopyError, systemErrorCode } from '../errors/imgcopy-error.ts';

/**
 * Runs a step that writes to the disk.
 * @param whatToDo  where the disk is full.
 * @throws ImgcopyError ERR_DISK_FULL, ERR_NOT_WRITABLE or ERR_NOT_A_FILE, with a hint, where that is why it failed; else its own error.
 */
export async function onDisk<T>(
  path: string,
  step: () => Promise<T>,
  whatToDo = 'free some space and run it again; finished layers are kept',
): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw diskError(error, path, whatToDo);
  }
}

function diskError(error: unknown, path: string, whatToDo: string): unknown {
  const code = systemErrorCode(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new ImgcopyError(`no space left to write ${path}`, {
      code: 'ERR_DISK_FULL',
      side: 'destination',
      hint: whatToDo,
      cause: error,
    });
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new ImgcopyError(`cannot write ${path}: ${(error as Error).message}`, {
      code: 'ERR_NOT_WRITABLE',
      side: 'destination',
      hint: 'choose a directory that you can write to',
      cause: error,
    });
  }
  if (code === 'EISDIR') {
    return new ImgcopyError(`${path} is a directory, and a file has to be there`, {
      code: 'ERR_NOT_A_FILE',
      side: 'destination',
      hint: 'move it away',
      cause: error,
    });
  }
  return error;
}

/**
 * Runs a step that reads from the disk.
 * @throws ImgcopyError ERR_NOT_READABLE for a file that is there and cannot be read; what is not there is the caller's to explain.
 */
export async function onRead<T>(path: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    const code = systemErrorCode(error);
    if (error instanceof ImgcopyError || code === undefined || /^(?:ENOENT|ENOTDIR|ELOOP)$/.test(code)) throw error;
    throw new ImgcopyError(`cannot read ${path}: ${(error as Error).message}`, {
      code: 'ERR_NOT_READABLE',
      hint: READ_HINTS[code] ?? 'the file or its disk may be damaged; try to read it with another program',
      cause: error,
    });
  }
}

const READ_HINTS: Readonly<Record<string, string>> = {
  EACCES: 'let the user who runs imgcopy read it',
  EPERM: 'let the user who runs imgcopy read it',
  EMFILE: 'raise the limit of open files (ulimit -n), or copy fewer blobs at once with --jobs',
  ENFILE: 'the system has too many files open; close some, or try again later',
};
