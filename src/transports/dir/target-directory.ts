import { constants } from 'node:fs';
import { access, readdir, realpath, rmdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { onDisk } from '../../local/disk-error.ts';
import { ImgcopyError, systemErrorCode } from '../../errors/imgcopy-error.ts';
import { makeDirectory } from '../../io/make-directory.ts';
import { lockDirectory } from './directory-lock.ts';
import { isLayoutName, isLockName, isTemporaryName, MANIFEST_FILE, VERSION_FILE } from './layout.ts';
import { refuseReplacedBytes, resolveLocalPath } from './local-path.ts';

/** A directory that is ours to write, locked until it is disposed of. */
export interface TargetDirectory extends AsyncDisposable {
  /** Absolute, without symbolic links. */
  readonly path: string;
}

/**
 * Makes sure of a directory to write an image to: new ones are made, with their parents; one that is there must be empty or hold nothing but
 * files of the layout. When it is disposed of, directories that it made and that are still empty are removed.
 *
 * @throws ImgcopyError ERR_DIR_NOT_EMPTY, ERR_NOT_A_DIRECTORY, ERR_DIR_LOCKED, ERR_NOT_WRITABLE, ERR_DISK_FULL
 */
export async function openTargetDirectory(path: string): Promise<TargetDirectory> {
  const absolute = resolveLocalPath(path);
  const firstMade = await makeTarget(absolute);
  const removeIfNew = async (): Promise<void> => {
    if (firstMade !== undefined) await removeEmpty(absolute, firstMade);
  };
  try {
    const directory = await realpath(absolute);
    refuseReplacedBytes(directory);
    await refuseForeignFiles(directory, path);
    await onDisk(directory, () => access(directory, constants.W_OK));
    const lock = await lockDirectory(directory);
    return {
      path: directory,
      async [Symbol.asyncDispose]() {
        lock[Symbol.dispose]();
        await removeIfNew();
      },
    };
  } catch (error) {
    await removeIfNew();
    throw error;
  }
}

/** @returns the topmost directory that was made; undefined when the path was there. */
async function makeTarget(path: string): Promise<string | undefined> {
  try {
    return await onDisk(path, () => makeDirectory(path));
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'EEXIST' && code !== 'ENOTDIR') throw error;
    throw new ImgcopyError(`${path} cannot be a directory: a file is in its place`, {
      code: 'ERR_NOT_A_DIRECTORY',
      kind: 'usage',
      side: 'destination',
      cause: error,
    });
  }
}

async function refuseForeignFiles(directory: string, path: string): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true });
  const foreign = entries
    .filter((entry) => entry.isDirectory() || !isKnownName(entry.name))
    .map((entry) => entry.name)
    .toSorted();
  const [first] = foreign;
  if (first !== undefined) {
    const others = foreign.length === 1 ? '' : ` and ${foreign.length - 1} more`;
    throw notEmpty(`dir:${path} holds files that are no part of an image: ${first}${others}`);
  }
  if (entries.length > 0 && !entries.some((entry) => isMark(entry.name))) {
    throw notEmpty(`dir:${path} holds files with names like those of blobs, and neither version nor manifest.json`);
  }
}

function notEmpty(message: string): ImgcopyError {
  return new ImgcopyError(message, {
    code: 'ERR_DIR_NOT_EMPTY',
    kind: 'usage',
    side: 'destination',
    hint: 'copy to a new or empty directory, or move those files away',
  });
}

/** Whether a name tells that a directory is an image's: blobs alone may be those of an OCI layout, or of any store of blobs. */
function isMark(name: string): boolean {
  return name === VERSION_FILE || name === MANIFEST_FILE || isTemporaryName(name) || isLockName(name);
}

function isKnownName(name: string): boolean {
  return isLayoutName(name) || isTemporaryName(name) || isLockName(name);
}

async function removeEmpty(path: string, firstMade: string): Promise<void> {
  try {
    for (let directory = path; directory.length >= firstMade.length; directory = dirname(directory)) {
      await rmdir(directory);
    }
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOENT') throw error;
  }
}
