import { constants, createWriteStream, write, type Stats } from 'node:fs';
import { access, lstat, open, readdir, realpath, rename, rm, stat, statfs, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { WaitOptions } from '../../contract/blob-info.ts';
import { ImgcopyError, systemErrorCode } from '../../errors/imgcopy-error.ts';
import { onDisk } from '../../local/disk-error.ts';
import { isStagedNameOf, stagedName, syncDirectory } from '../../local/durable-files.ts';
import { EarlySync } from '../../local/early-sync.ts';
import { refuseReplacedBytes, resolveLocalPath } from '../../local/local-path.ts';
import { writeFully } from '../../local/write-in-batches.ts';
import { isGap } from './gap.ts';

/** What an archive is written to. */
export interface TargetFile {
  /** What is there now; undefined where nothing is. */
  readonly found: Stats | undefined;
  /** Absolute; where that is a symbolic link to a file, the file. Undefined for standard output. */
  readonly path: string | undefined;
}

/** Standard output, which is written directly. */
const STANDARD_OUTPUT: TargetFile = { found: undefined, path: undefined };

/** A target that is being written. Disposing of it removes what was not published. */
export interface OpenTarget extends AsyncDisposable {
  /** From the first byte on. Gaps are left out of a file. */
  readonly output: Writable;
  /** Open for reading and writing; undefined where all bytes have to go through the output. */
  readonly file: NewFile | undefined;
  /** Gives the file its name, in place of what has that name now. To be called when the output has ended. */
  publish(): Promise<void>;
}

export interface NewFile {
  readonly handle: FileHandle;
  /** Of the file that it will be. */
  readonly path: string;
  /** Is to hear of each blob's bytes that were written. */
  readonly sync: EarlySync;
}

/** Whether an archive is written through a pipe or into a device, from its first byte to its last. */
export function isOnePass({ found, path }: TargetFile): boolean {
  return path === undefined || (found !== undefined && !found.isFile());
}

/**
 * Looks at what is there under a path. It changes nothing.
 * @throws ImgcopyError ERR_NOT_A_FILE (kind `usage`) for a directory, ERR_NO_DIRECTORY where there is no directory for the file.
 */
export async function findTarget(path: string | undefined, reference: string): Promise<TargetFile> {
  if (path === undefined) return STANDARD_OUTPUT;
  const absolute = resolveLocalPath(path);
  const found = await statTarget(absolute);
  if (found?.isDirectory() === true) throw isDirectory(reference, path);
  if (found?.isFile() === true) {
    const real = await realpath(absolute);
    refuseReplacedBytes(real);
    return { found, path: real };
  }
  if (found !== undefined) return { found, path: absolute };
  const parent = await stat(dirname(absolute)).catch(() => undefined);
  if (parent?.isDirectory() === true) return { found: undefined, path: absolute };
  throw new ImgcopyError(`there is no directory ${dirname(absolute)} to write ${reference} to`, {
    code: 'ERR_NO_DIRECTORY',
    kind: 'usage',
    side: 'destination',
    hint: `make it first: mkdir -p ${dirname(absolute)}`,
  });
}

/**
 * Refuses blobs that no file there can hold, be the disk empty: a manifest may say any size, and room is made for it before the first byte comes.
 * @param size  of all of them, in bytes.
 * @throws ImgcopyError ERR_DISK_FULL
 */
export async function refuseTooLarge(path: string, size: number, reference: string): Promise<void> {
  const { blocks, bsize } = await statfs(dirname(path));
  const capacity = blocks * bsize;
  // Some network file systems do not tell.
  if (capacity === 0 || size <= capacity) return;
  throw new ImgcopyError(
    `${reference} is ${size} bytes long by its manifest, and the file system of ${path} holds only ${capacity} bytes`,
    {
      code: 'ERR_DISK_FULL',
      side: 'destination',
      hint: 'use a larger disk; if the image is not so large, its manifest is invalid, and has to be pushed again',
    },
  );
}

async function statTarget(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Refuses a target that could not be opened for writing, as far as that shows without opening it.
 * @throws ImgcopyError ERR_NOT_WRITABLE
 */
export async function checkTarget({ found, path }: TargetFile): Promise<void> {
  if (path === undefined) return;
  const written = found === undefined || found.isFile() ? dirname(path) : path;
  await onDisk(path, () => access(written, constants.W_OK), WITH_SPACE);
}

/**
 * Opens a target for writing: a file under a temporary name beside it; a named pipe or a device as it is.
 * @throws ImgcopyError ERR_NOT_WRITABLE, ERR_DISK_FULL
 */
export async function openTarget({ found, path }: TargetFile, options: WaitOptions): Promise<OpenTarget> {
  if (path === undefined) return direct(await openStandardOutput());
  if (found === undefined || found.isFile()) return await openNewFile(path);
  return direct(await openPlain(path, found, options));
}

function direct(output: Writable): OpenTarget {
  return { output, file: undefined, publish: noWork, [Symbol.asyncDispose]: noWork };
}

async function noWork(): Promise<void> {}

async function openPlain(path: string, found: Stats, options: WaitOptions): Promise<Writable> {
  if (/^\/(?:dev|proc\/self)\/(?:stdout|fd\/1)$/.test(path)) return await openStandardOutput();
  if (!found.isFIFO()) return createWriteStream(path, { highWaterMark: BUFFER_BYTES });
  const { writeNamedPipe } = await import('./named-pipe.ts');
  return await onDisk(path, () => writeNamedPipe(path, options));
}

async function openNewFile(path: string): Promise<OpenTarget> {
  const directory = dirname(path);
  const temporary = join(directory, stagedName(basename(path)));
  await removeLeftFiles(path);
  const handle = await onDisk(path, () => open(temporary, 'wx+', 0o644), WITH_SPACE);
  const sync = new EarlySync(handle);
  return {
    output: fileOutput(handle, path),
    file: { handle, path, sync },
    async publish() {
      await onDisk(
        path,
        async () => {
          await sync.end();
          await rename(temporary, path);
          await syncDirectory(directory);
        },
        WITH_SPACE,
      );
    },
    async [Symbol.asyncDispose]() {
      await handle.close();
      await rm(temporary, { force: true });
    },
  };
}

/** Removes what killed runs left of the same archive. A file that another run still writes looks the same, so only old ones are removed. */
async function removeLeftFiles(path: string): Promise<void> {
  const directory = dirname(path);
  try {
    const names = await readdir(directory);
    for (const name of names.filter((one) => isStagedNameOf(basename(path), one))) {
      const left = join(directory, name);
      const { mtimeMs } = await lstat(left);
      if (Date.now() - mtimeMs >= LEFT_AFTER_MS) await rm(left, { force: true });
    }
  } catch {
    // They are in nobody's way.
  }
}

/** What to do where the disk is full: nothing is kept of an archive that is not finished. */
export const WITH_SPACE = 'free some space and run it again';

const BUFFER_BYTES = 1024 * 1024;

/** A new file that nobody has written to for so long is one that a killed run left, in ms. */
const LEFT_AFTER_MS = 24 * 60 * 60 * 1000;

/** How long to wait for the reader of a pipe that is full, in ms. */
const FULL_PIPE_MS = 5;

const writeTo = promisify(write);

/** A slow reader must not hold up all else, and process.stdout is written synchronously where it is a pipe. So a pipe is opened once more. */
async function openStandardOutput(): Promise<Writable> {
  const path = '/proc/self/fd/1';
  const found = await stat(path).catch(() => undefined);
  if (found?.isFIFO() !== true) return standardOutput();
  const { writeNamedPipe } = await import('./named-pipe.ts');
  return await writeNamedPipe(path, { waits: false });
}

/** Standard output that is a file, a device or a socket. */
function standardOutput(): Writable {
  const writeAll = async (bytes: Buffer): Promise<void> => {
    for (let rest = bytes; rest.length > 0;) {
      try {
        const { bytesWritten } = await writeTo(1, rest);
        rest = rest.subarray(bytesWritten);
      } catch (error) {
        // Whoever shares a pipe may have made it one that does not wait.
        if (systemErrorCode(error) !== 'EAGAIN') throw error;
        await sleep(FULL_PIPE_MS);
      }
    }
  };
  return new Writable({
    highWaterMark: BUFFER_BYTES,
    write: (chunk: Buffer, _encoding, done) => void writeAll(chunk).then(() => done(), done),
  });
}

/** Writes from the file's beginning on. */
function fileOutput(handle: FileHandle, path: string): Writable {
  let end = 0;
  const writeNext = async (bytes: Buffer): Promise<void> => {
    if (!isGap(bytes)) await onDisk(path, () => writeFully(handle, [bytes], end), WITH_SPACE);
    end += bytes.length;
  };
  return new Writable({ write: (bytes: Buffer, _encoding, done) => void writeNext(bytes).then(() => done(), done) });
}

function isDirectory(reference: string, path: string): ImgcopyError {
  return new ImgcopyError(`${reference} is a directory, not an archive`, {
    code: 'ERR_NOT_A_FILE',
    kind: 'usage',
    side: 'destination',
    hint: `write oci:${path} for an OCI layout in a directory, or name a file`,
  });
}
