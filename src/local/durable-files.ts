import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { systemErrorCode } from '../errors/imgcopy-error.ts';
import { onDisk } from './disk-error.ts';
import { openRegularFile, withSmallFile } from './regular-file.ts';

const STAGED_NAME = /^\.imgcopy-[\w.-]+\.new$/;

/** A new name for a file of this name while it is written. */
export function stagedName(finalName: string): string {
  return `${stagedPrefix(finalName)}${randomBytes(4).toString('hex')}.new`;
}

/** Whether a name is a `stagedName` of a file of that name. */
export function isStagedNameOf(finalName: string, name: string): boolean {
  const prefix = stagedPrefix(finalName);
  return name.startsWith(prefix) && /^[0-9a-f]{8}\.new$/.test(name.slice(prefix.length));
}

function stagedPrefix(finalName: string): string {
  return `.imgcopy-${finalName}-`;
}

/** Whether a file of this name is one that `stageFile` left. */
export function isStagedName(name: string): boolean {
  return STAGED_NAME.test(name);
}

/** A small file that is on the disk under a temporary name. Disposing of it removes it, unless it was published. */
export interface StagedFile extends AsyncDisposable {
  /** Gives it its final name at once, in place of what has that name now. */
  publish(): Promise<void>;
}

/**
 * Writes a small file to the disk under a temporary name in the directory.
 * @param name  its final path, relative to the directory.
 * @throws ImgcopyError ERR_DISK_FULL, ERR_NOT_WRITABLE
 */
export async function stageFile(directory: string, name: string, bytes: Uint8Array): Promise<StagedFile> {
  const path = join(directory, name);
  const temporaryPath = join(directory, stagedName(basename(name)));
  try {
    await onDisk(path, () =>
      withSmallFile(async () => {
        await using file = await open(temporaryPath, 'wx', 0o644);
        await file.writeFile(bytes);
        await file.chmod(0o644);
        await file.sync();
      }),
    );
  } catch (error) {
    await rm(temporaryPath, { force: true });
    throw error;
  }
  return {
    publish: () => onDisk(path, () => rename(temporaryPath, path)),
    [Symbol.asyncDispose]: () => rm(temporaryPath, { force: true }),
  };
}

/** Makes or replaces a small file, unless it has these bytes already. Who reads it meets the old bytes or the new ones. */
export async function replaceFile(directory: string, name: string, bytes: Uint8Array): Promise<void> {
  if (await hasBytes(join(directory, name), bytes)) return;
  await using staged = await stageFile(directory, name, bytes);
  await staged.publish();
}

/** Whether a small file is there and has these bytes. */
export async function hasBytes(path: string, bytes: Uint8Array): Promise<boolean> {
  try {
    return await withSmallFile(async () => {
      await using file = await openRegularFile(path);
      return (await file.stat()).size === bytes.length && (await file.readFile()).equals(bytes);
    });
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ERR_NOT_A_FILE') return false;
    throw error;
  }
}

/** Brings the names in a directory to the disk: the new, the renamed and the removed. */
export async function syncDirectory(directory: string): Promise<void> {
  await using handle = await open(directory, 'r');
  try {
    await handle.sync();
  } catch (error) {
    // Some network file systems cannot do this for directories; there is nothing else to be done then.
    if (systemErrorCode(error) !== 'EINVAL' && systemErrorCode(error) !== 'ENOTSUP') throw error;
  }
}
