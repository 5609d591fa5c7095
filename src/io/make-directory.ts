import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemErrorCode } from '../errors/imgcopy-error.ts';

/**
 * Makes a directory with its parents.
 * @param path  absolute.
 * @returns the topmost directory that was made; undefined when the path was there.
 * @throws the system's error: the true one, where Node.js has ENOENT for a file system that is read-only or full.
 */
export async function makeDirectory(path: string, mode?: number): Promise<string | undefined> {
  const options = { recursive: true, ...(mode !== undefined && { mode }) };
  try {
    return await mkdir(path, options);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    // The plain call tells why: https://github.com/nodejs/node/issues/47098
    await mkdir(await firstMissing(path), mode);
    throw error;
  }
}

async function firstMissing(path: string): Promise<string> {
  const parent = dirname(path);
  const isThere =
    parent === path ||
    (await stat(parent).then(
      () => true,
      () => false,
    ));
  return isThere ? path : await firstMissing(parent);
}
