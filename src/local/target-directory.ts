import { constants, type Dirent } from 'node:fs';
import { access, readdir, realpath, rmdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { onDisk } from './disk-error.ts';
import { ImgcopyError, systemErrorCode } from '../errors/imgcopy-error.ts';
import { makeDirectory } from '../io/make-directory.ts';
import { isLockName, lockDirectory } from './directory-lock.ts';
import { isStagedName } from './durable-files.ts';
import { isPartialName } from './partial-file.ts';
import { refuseReplacedBytes, resolveLocalPath } from './local-path.ts';

/** A directory that is ours to write, locked until it is disposed of. */
export interface TargetDirectory extends AsyncDisposable {
  /** Absolute, without symbolic links. */
  readonly path: string;
}

/** What a directory may hold that an image is written to. */
export interface TargetLayout {
  /** The image's name, for messages: `dir:/path`. */
  readonly reference: string;
  /** Whether an entry may be a part of an image, whichever tool wrote it. */
  readonly isPart: (entry: Dirent) => boolean;
  /** Files of which one shows that the directory is an image's: blobs alone may be those of another layout, or of any store of blobs. */
  readonly marks: readonly string[];
}

/** Whether a name is that of a file which only a run that is under way needs. */
export function isTemporaryName(name: string): boolean {
  return isPartialName(name) || isStagedName(name);
}

/**
 * Makes sure of a directory to write an image to: new ones are made, with their parents; one that is there must be empty or hold nothing but
 * parts of an image. When it is disposed of, directories that it made and that are still empty are removed.
 *
 * @throws ImgcopyError ERR_DIR_NOT_EMPTY, ERR_NOT_A_DIRECTORY, ERR_DIR_LOCKED, ERR_NOT_WRITABLE, ERR_DISK_FULL
 */
export async function openTargetDirectory(path: string, layout: TargetLayout): Promise<TargetDirectory> {
  const absolute = resolveLocalPath(path);
  const firstMade = await makeTarget(absolute);
  const removeIfNew = async (): Promise<void> => {
    if (firstMade !== undefined) await removeEmpty(absolute, firstMade);
  };
  try {
    const directory = await realpath(absolute);
    refuseReplacedBytes(directory);
    await refuseForeignFiles(directory, layout);
    await onDisk(directory, () => access(directory, constants.W_OK));
    const lock = await lockDirectory(directory, layout.reference);
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
    throw new ImgcopyError(`${path} is a file, not a directory`, {
      code: 'ERR_NOT_A_DIRECTORY',
      kind: 'usage',
      side: 'destination',
      cause: error,
    });
  }
}

async function refuseForeignFiles(directory: string, { reference, isPart, marks }: TargetLayout): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true });
  const foreign = entries
    .filter((entry) => !isPart(entry) && (entry.isDirectory() || !isOurs(entry.name)))
    .map((entry) => entry.name)
    .toSorted();
  const [first] = foreign;
  if (first !== undefined) {
    const others = foreign.length === 1 ? '' : ` and ${foreign.length - 1} more`;
    throw notEmpty(`${reference} contains files that do not belong to an image: ${first}${others}`);
  }
  if (entries.length > 0 && !entries.some(({ name }) => marks.includes(name) || isOurs(name))) {
    throw notEmpty(`${reference} holds files with names like those of blobs, and neither ${marks.join(' nor ')}`);
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

/** Whether a file is one that imgcopy alone makes. */
function isOurs(name: string): boolean {
  return isTemporaryName(name) || isLockName(name);
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
