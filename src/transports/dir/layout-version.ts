import { join } from 'node:path';
import { replaceFile } from '../../local/durable-files.ts';
import { readRegularFile } from '../../local/regular-file.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { quote } from '../../errors/printable.ts';
import { VERSION_FILE } from './layout.ts';

/** Versions of the layout: 1.2 has names for digests other than sha256, and tools that know 1.1 alone refuse it. */
export type LayoutVersion = '1.1' | '1.2';

const MAX_VERSION_BYTES = 1024;
const VERSION_TEXT = /^Directory Transport Version: (\d+)\.(\d+)\n?$/;

/** The lowest version that has all these names. */
export function versionFor(names: Iterable<string>): LayoutVersion {
  return [...names].some((name) => name.startsWith('sha512-')) ? '1.2' : '1.1';
}

/**
 * The version of a directory, undefined where it does not say any. One older than 1.1 counts as 1.1.
 * @throws ImgcopyError ERR_DIR_VERSION when it is newer than 1.2, or no version at all.
 */
export async function readVersion(directory: string): Promise<LayoutVersion | undefined> {
  const path = join(directory, VERSION_FILE);
  const bytes = await readRegularFile(path, {
    limit: MAX_VERSION_BYTES,
    tooLarge: (size) => versionError(`${path} does not name a version: it has ${size} bytes`),
  });
  if (bytes === undefined) return undefined;
  const text = bytes.toString('utf8');
  const [, major, minor] = (VERSION_TEXT.exec(text) ?? []).map(Number);
  if (major === undefined || minor === undefined) {
    throw versionError(`${path} does not name a version: it begins with ${quote(text, 60)}`);
  }
  if (major > 1 || (major === 1 && minor > 2)) {
    throw versionError(`${path} names version ${major}.${minor} of the layout, expected at most 1.2`);
  }
  return major === 1 && minor === 2 ? '1.2' : '1.1';
}

function versionError(message: string): ImgcopyError {
  return new ImgcopyError(message, {
    code: 'ERR_DIR_VERSION',
    hint: 'use a newer imgcopy, or another directory',
  });
}

/** The version of a directory that is being written. It is never lower than what lies in the directory needs. */
export class VersionFile {
  readonly #directory: string;
  #last: Promise<LayoutVersion | undefined>;

  /** @param version  as `readVersion` found it. */
  constructor(directory: string, version: LayoutVersion | undefined) {
    this.#directory = directory;
    this.#last = Promise.resolve(version);
  }

  /** To be called before a file is named that needs this version. */
  async raiseTo(version: LayoutVersion): Promise<void> {
    await this.#change((current) => current === undefined || current < version, version);
  }

  /** To be called when nothing that needs a higher version is left. */
  async lowerTo(version: LayoutVersion): Promise<void> {
    await this.#change((current) => current !== version, version);
  }

  async #change(isNeeded: (current: LayoutVersion | undefined) => boolean, version: LayoutVersion): Promise<void> {
    this.#last = this.#last.then(async (current) => {
      if (!isNeeded(current)) return current;
      await replaceFile(this.#directory, VERSION_FILE, Buffer.from(`Directory Transport Version: ${version}\n`));
      return version;
    });
    await this.#last;
  }
}
