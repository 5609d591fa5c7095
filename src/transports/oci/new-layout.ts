import { randomBytes } from 'node:crypto';
import { readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { WaitOptions } from '../../contract/blob-info.ts';
import { systemErrorCode } from '../../errors/imgcopy-error.ts';
import { isLockName, removeFreeLocks, waitForLock, whileLocked, type AwaitedLock } from '../../local/directory-lock.ts';
import { INDEX_FILE, LAYOUT_FILE } from '../../manifest/image-layout.ts';

const BLOBS = 'blobs';

/** A layout without an image, which this run has made or found. Disposing of it removes what this run made, where nothing else is there and nobody writes. */
export type NewLayout = AsyncDisposable;

/**
 * Takes note of a layout that has no image yet; others see from now on that somebody writes. To be called while the directory is locked.
 * @param options.isMade  whether this run has made it.
 */
export async function noteNewLayout(
  directory: string,
  { isMade, signal }: WaitOptions & { readonly isMade: boolean },
): Promise<NewLayout> {
  const writing = await waitForLock(directory, `writer-${randomBytes(6).toString('hex')}`, { signal });
  return {
    async [Symbol.asyncDispose]() {
      try {
        await leave(directory, writing, { isMade });
      } finally {
        writing[Symbol.dispose]();
      }
    },
  };
}

async function leave(directory: string, writing: AwaitedLock, { isMade }: { readonly isMade: boolean }): Promise<void> {
  if (!isMade || (await readdir(directory)).includes(INDEX_FILE)) return;
  await whileLocked(directory, {}, async () => {
    writing[Symbol.dispose]();
    await removeFreeLocks(directory);
    const names = (await readdir(directory)).filter((name) => !isLockName(name));
    // Anything else is an image, a part of one, or somebody who writes.
    if (names.some((name) => name !== LAYOUT_FILE && name !== BLOBS)) return;
    const isBare = !names.includes(BLOBS) || (await removeEmptyFolders(join(directory, BLOBS)));
    if (isBare) await rm(join(directory, LAYOUT_FILE), { force: true });
  });
}

/** @returns whether there was nothing in it but empty folders. */
async function removeEmptyFolders(path: string): Promise<boolean> {
  try {
    for (const name of await readdir(path)) await rmdir(join(path, name));
    await rmdir(path);
    return true;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOTDIR') throw error;
    return false;
  }
}
