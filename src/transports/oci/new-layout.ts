import { randomBytes } from 'node:crypto';
import { readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { WaitOptions } from '../../contract/blob-info.ts';
import { systemErrorCode } from '../../errors/imgcopy-error.ts';
import { isLockName, removeFreeLocks, waitForLock, type AwaitedLock } from '../../local/directory-lock.ts';
import { INDEX_FILE, LAYOUT_FILE } from '../../manifest/image-layout.ts';

const BLOBS = 'blobs';
/** How long whoever has locked the directory is waited for, to remove what this run made. */
const PATIENCE_MS = 3_000;

/**
 * A layout without an image, which this run has made or found. Disposing of it removes what this run made, where nothing else is there, nobody writes, and the
 * directory is not locked for long.
 */
export type NewLayout = AsyncDisposable;

/**
 * Takes note of a layout that has no image yet; others see from now on that somebody writes. To be called while the directory is locked.
 * @param options.isMade  whether this run has made it.
 * @param options.patienceMs  how long to wait for the directory's lock when this is disposed of. Default: three seconds.
 */
export async function noteNewLayout(
  directory: string,
  { signal, ...options }: WaitOptions & { readonly isMade: boolean; readonly patienceMs?: number },
): Promise<NewLayout> {
  const writing = await waitForLock(directory, `writer-${randomBytes(6).toString('hex')}`, { signal });
  return {
    async [Symbol.asyncDispose]() {
      try {
        await leave(directory, writing, options);
      } finally {
        writing[Symbol.dispose]();
      }
    },
  };
}

async function leave(
  directory: string,
  writing: AwaitedLock,
  { isMade, patienceMs = PATIENCE_MS }: { readonly isMade: boolean; readonly patienceMs?: number },
): Promise<void> {
  if (!isMade || (await readdir(directory)).includes(INDEX_FILE)) return;
  const signal = AbortSignal.timeout(patienceMs);
  const lock = await waitForLock(directory, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
  // Somebody has it who does not go on, such as a process that was stopped: what is here stays.
  if (lock === undefined) return;
  try {
    writing[Symbol.dispose]();
    await removeFreeLocks(directory);
    const names = (await readdir(directory)).filter((name) => !isLockName(name));
    // Anything else is an image, a part of one, or somebody who writes.
    if (names.some((name) => name !== LAYOUT_FILE && name !== BLOBS)) return;
    const isBare = !names.includes(BLOBS) || (await removeEmptyFolders(join(directory, BLOBS)));
    if (isBare) await rm(join(directory, LAYOUT_FILE), { force: true });
  } finally {
    lock[Symbol.dispose]();
  }
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
