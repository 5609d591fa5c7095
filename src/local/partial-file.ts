import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, digestAlgorithm, digestHex } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { readRegularFile } from './regular-file.ts';

/** A number. */
const MAX_NOTE_BYTES = 1024;
const PARTIAL_NAME = /^\.imgcopy-(?:sha256-[0-9a-f]{64}|sha512-[0-9a-f]{128}|put-[0-9a-f]{16})\.(?:partial|state)$/;

/** Whether a file of this name is a blob that is not complete, or the note on how far it has come. */
export function isPartialName(name: string): boolean {
  return PARTIAL_NAME.test(name);
}

/** A blob under its temporary name, and the note beside it. */
export interface PartialFile {
  readonly path: string;
  readonly handle: FileHandle;
  readonly note: ContiguousNote;
  /** How many bytes an earlier run left, from the first on without a gap. They were not checked. */
  readonly length: number;
}

export interface OpenPartialOptions {
  readonly directory: string;
  /** Undefined: the name is random, and no other run will find the file. */
  readonly digest: Digest | undefined;
  /** In bytes. A longer file is not kept. */
  readonly size: number | undefined;
  /** Whether to keep what an earlier run left. */
  readonly resume: boolean;
}

/** How many bytes an earlier run left of a blob, from the first on without a gap: what `openPartialFile` will find. Nothing is opened for writing. */
export async function leftLength(options: {
  readonly directory: string;
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
}): Promise<number> {
  const { path, note } = namesOf(options);
  const found = await lstat(path).catch(() => undefined);
  return found?.isFile() ? usableLength(found.size, await note.read(), options.size) : 0;
}

/** Opens the temporary file of a blob for reading and writing, and cuts it to the part that may be continued. */
export async function openPartialFile({ directory, digest, size, resume }: OpenPartialOptions): Promise<PartialFile> {
  const { path, note } = namesOf({ directory, digest });
  // Whoever made the directory could have put a link to a file of the user's here.
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await open(path, flags, 0o644);
  try {
    const found = await sizeOf(path, handle);
    const usable = usableLength(found, await note.read(), size ?? 0);
    const length = resume ? usable : 0;
    await handle.truncate(length);
    await note.remove();
    return { path, handle, note, length };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function namesOf({ directory, digest }: Pick<OpenPartialOptions, 'directory' | 'digest'>): {
  readonly path: string;
  readonly note: ContiguousNote;
} {
  const stem = digest === undefined ? `put-${randomBytes(8).toString('hex')}` : digestStem(digest);
  const path = join(directory, `.imgcopy-${stem}.partial`);
  return { path, note: new ContiguousNote(join(directory, `.imgcopy-${stem}.state`)) };
}

/** @param noted  where the first gap is, in a file that may have one. A file that is longer than its blob is another's. */
function usableLength(found: number, noted: number | undefined, size: number): number {
  const contiguous = Math.min(found, noted ?? found);
  return contiguous <= size ? contiguous : 0;
}

async function sizeOf(path: string, handle: FileHandle): Promise<number> {
  const stats = await handle.stat();
  if (stats.isFile()) return stats.size;
  throw new ImgcopyError(`${path} is not a regular file`, { code: 'ERR_NOT_A_FILE', hint: 'remove it' });
}

function digestStem(digest: Digest): string {
  return `${digestAlgorithm(digest)}-${digestHex(digest)}`;
}

/**
 * Notes beside a partial file how much of it, from the first byte on, has no gap; to be there before a later part is written, for
 * the length of the file says nothing from then on. A hint: it may say less than there is, and what it says is hashed before use.
 */
export class ContiguousNote {
  readonly #path: string;
  #handle: Promise<FileHandle> | undefined;
  #noted = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** The length in bytes that an earlier run noted; undefined where it noted none, which means that its file has no gap. */
  async read(): Promise<number | undefined> {
    const text = await readRegularFile(this.#path, {
      limit: MAX_NOTE_BYTES,
      followLink: false,
      tooLarge: (size) => new ImgcopyError(`${this.#path} has ${size} bytes`, { code: 'ERR_NOT_A_FILE' }),
    });
    if (text === undefined) return undefined;
    const length = Number.parseInt(text.toString('latin1'), 10);
    return length >= 0 ? length : 0;
  }

  /** Makes sure that there is a note; one that is there stays as it is. */
  async begin(length: number): Promise<void> {
    if (this.#handle === undefined) await this.write(length);
    else await this.#handle;
  }

  /** Moves the note on where there is one and it has fallen far behind. */
  async advance(length: number): Promise<void> {
    if (this.#handle !== undefined && length - this.#noted >= 8 * 1024 * 1024) await this.write(length);
  }

  async write(length: number): Promise<void> {
    this.#noted = length;
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    this.#handle ??= open(this.#path, flags, 0o644);
    await (await this.#handle).write(`${length}\n`.padStart(20), 0);
  }

  async remove(): Promise<void> {
    // Where it could not be opened, who asked for that has been told.
    const handle = await this.#handle?.catch(() => undefined);
    this.#handle = undefined;
    await handle?.close();
    await rm(this.#path, { force: true });
  }
}
