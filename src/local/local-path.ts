import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ImgcopyError } from '../errors/imgcopy-error.ts';

/**
 * The absolute form of a path, which may go through the working directory.
 * @throws ImgcopyError ERR_PATH_NOT_UTF8 (kind `usage`) where the path or the working directory has a name that is not UTF-8: Node.js puts U+FFFD in
 *   the place of its bytes, which is another name. @see https://github.com/nodejs/node/issues/43672
 */
export function resolveLocalPath(path: string): string {
  const absolute = resolve(path);
  refuseReplacedBytes(absolute);
  return absolute;
}

/** @throws ImgcopyError ERR_PATH_NOT_UTF8 */
export function refuseReplacedBytes(path: string): void {
  if (!path.includes('\uFFFD')) return;
  throw new ImgcopyError(
    `the path ${path} has bytes that are not UTF-8: it would become the path of another directory`,
    {
      code: 'ERR_PATH_NOT_UTF8',
      kind: 'usage',
      hint: 'rename the directory, or reach it by a symbolic link in a directory whose path is UTF-8',
    },
  );
}

/** The same for all paths of one place, which need not exist: absolute, without symbolic links. */
export async function placeOfPath(path: string): Promise<string> {
  const absolute = resolve(path);
  try {
    return await realpath(absolute);
  } catch {
    const parent = dirname(absolute);
    return parent === absolute ? absolute : join(await placeOfPath(parent), basename(absolute));
  }
}
