import { constants, type Dirent } from 'node:fs';
import { access, readdir, realpath, rmdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { onDisk } from './disk-error.ts';
import { ImgcopyError, systemErrorCode } from '../errors/imgcopy-error.ts';
import { makeDirectory } from '../io/make-directory.ts';
import { isLockName, lockDirectory } from './directory-lock.ts';
import { isStagedName } from './durable-files.ts';
import { isPartialName } from './partial-file.ts';
import { refuseReplacedBytes, resolveLocalPath } from './local-path.ts';

/** A directory to write to. */
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
  /** Whether other files may lie beside the image's where one of the marks is: nothing is removed from such a directory. Default false. */
  readonly mayHoldOthers?: boolean | undefined;
}

/** Whether a name is that of a file which only a run that is under way needs. */
export function isTemporaryName(name: string): boolean {
  return isPartialName(name) || isStagedName(name);
}

/**
 * Makes sure of a directory as `prepareTargetDirectory` does, and locks it until it is disposed of.
 * @throws ImgcopyError ERR_DIR_LOCKED, and those of `prepareTargetDirectory`.
 */
export async function openTargetDirectory(path: string, layout: TargetLayout): Promise<TargetDirectory> {
  const target = await prepareTargetDirectory(path, layout);
  try {
    const lock = await lockDirectory(target.path, layout.reference);
    return {
      path: target.path,
      async [Symbol.asyncDispose]() {
        lock[Symbol.dispose]();
        await target[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await target[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * Makes sure of a directory to write an image to: new ones are made, with their parents; one that is there must be empty or hold nothing but
 * parts of an image. When it is disposed of, directories that it made and that are still empty are removed.
 *
 * @throws ImgcopyError ERR_DIR_NOT_EMPTY, ERR_NOT_A_DIRECTORY, ERR_NOT_WRITABLE, ERR_DISK_FULL
 */
export async function prepareTargetDirectory(path: string, layout: TargetLayout): Promise<TargetDirectory> {
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
    return { path: directory, [Symbol.asyncDispose]: removeIfNew };
  } catch (error) {
    await removeIfNew();
    throw error;
  }
}

/**
 * Refuses what `prepareTargetDirectory` would refuse, as far as that shows without making anything.
 * @returns the directory, without symbolic links; undefined where there is none yet.
 * @throws as `prepareTargetDirectory` does.
 */
export async function checkTargetDirectory(path: string, layout: TargetLayout): Promise<string | undefined> {
  const absolute = resolveLocalPath(path);
  const existing = await deepestExisting(absolute);
  if (!(await stat(existing)).isDirectory()) throw notADirectory(absolute);
  const isThere = existing === absolute;
  const directory = await realpath(existing);
  if (isThere) {
    refuseReplacedBytes(directory);
    await refuseForeignFiles(directory, layout);
  }
  await onDisk(absolute, () => access(directory, constants.W_OK));
  return isThere ? directory : undefined;
}

/** The path itself, or the nearest of its parents that is there. */
async function deepestExisting(path: string): Promise<string> {
  try {
    await stat(path);
    return path;
  } catch (error) {
    const code = systemErrorCode(error);
    if ((code !== 'ENOENT' && code !== 'ENOTDIR') || dirname(path) === path) throw error;
    return await deepestExisting(dirname(path));
  }
}

/** @returns the topmost directory that was made; undefined when the path was there. */
async function makeTarget(path: string): Promise<string | undefined> {
  try {
    return await onDisk(path, () => makeDirectory(path));
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'EEXIST' && code !== 'ENOTDIR') throw error;
    throw notADirectory(path, error);
  }
}

function notADirectory(path: string, cause?: unknown): ImgcopyError {
  return new ImgcopyError(`${path} is a file, not a directory`, {
    code: 'ERR_NOT_A_DIRECTORY',
    kind: 'usage',
    side: 'destination',
    cause,
  });
}

async function refuseForeignFiles(directory: string, layout: TargetLayout): Promise<void> {
  const { reference, isPart, marks, mayHoldOthers = false } = layout;
  const entries = await readdir(directory, { withFileTypes: true });
  const isMarked = entries.some(({ name }) => marks.includes(name));
  if (isMarked && mayHoldOthers) return;
  const foreign = entries
    .filter((entry) => !isPart(entry) && (entry.isDirectory() || !isOurs(entry.name)))
    .map((entry) => entry.name)
    .toSorted();
  const [first] = foreign;
  if (first !== undefined) {
    const others = foreign.length === 1 ? '' : ` and ${foreign.length - 1} more`;
    throw notEmpty(`${reference} contains files that do not belong to an image: ${first}${others}`);
  }
  if (entries.length > 0 && !isMarked && !entries.some(({ name }) => isOurs(name))) {
    const missing = marks.length === 1 ? `no ${marks[0]}` : `neither ${marks.join(' nor ')}`;
    throw notEmpty(`${reference} holds files with names like those of blobs, and ${missing}`);
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
