import { randomBytes } from 'node:crypto';
import { createWriteStream, type Stats } from 'node:fs';
import { open, realpath, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import type { WaitOptions } from '../../contract/blob-info.ts';
import { ImgcopyError, systemErrorCode } from '../../errors/imgcopy-error.ts';
import { onDisk } from '../../local/disk-error.ts';
import { syncDirectory } from '../../local/durable-files.ts';
import { refuseReplacedBytes, resolveLocalPath } from '../../local/local-path.ts';
import { writeFully } from '../../local/write-in-batches.ts';

/** What an archive is written to. */
export interface TargetFile {
  /** What is there now; undefined where nothing is. */
  readonly found: Stats | undefined;
  /** Absolute; where that is a symbolic link to a file, the file. */
  readonly path: string;
}

/** A target that is being written. Disposing of it removes what was not published. */
export interface OpenTarget extends AsyncDisposable {
  readonly output: Writable;
  /** Gives the file its name, in place of what has that name now. To be called when the output has ended. */
  publish(): Promise<void>;
}

/**
 * Looks at what is there under a path. It changes nothing.
 * @throws ImgcopyError ERR_NOT_A_FILE (kind `usage`) for a directory, ERR_NO_DIRECTORY where there is no directory for the file.
 */
export async function findTarget(path: string, reference: string): Promise<TargetFile> {
  const absolute = resolveLocalPath(path);
  try {
    const real = await realpath(absolute);
    refuseReplacedBytes(real);
    const found = await stat(real);
    if (found.isDirectory()) throw isDirectory(reference, path);
    return { found, path: found.isFile() ? real : absolute };
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
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
 * Opens a target for writing: a file under a temporary name beside it; a named pipe or a device as it is.
 * @throws ImgcopyError ERR_NOT_WRITABLE, ERR_DISK_FULL
 */
export async function openTarget({ found, path }: TargetFile, options: WaitOptions): Promise<OpenTarget> {
  if (found === undefined || found.isFile()) return await openNewFile(path);
  return { output: await openPlain(path, found, options), publish: noWork, [Symbol.asyncDispose]: noWork };
}

async function noWork(): Promise<void> {}

async function openPlain(path: string, found: Stats, options: WaitOptions): Promise<Writable> {
  if (!found.isFIFO()) return createWriteStream(path, { highWaterMark: BUFFER_BYTES });
  const { writeNamedPipe } = await import('./named-pipe.ts');
  return await onDisk(path, () => writeNamedPipe(path, options));
}

async function openNewFile(path: string): Promise<OpenTarget> {
  const directory = dirname(path);
  const temporary = join(directory, `.imgcopy-${basename(path)}-${randomBytes(4).toString('hex')}.new`);
  const handle = await onDisk(path, () => open(temporary, 'wx', 0o644));
  return {
    output: fileOutput(handle, path),
    async publish() {
      await onDisk(path, async () => {
        await handle.sync();
        await rename(temporary, path);
        await syncDirectory(directory);
      });
    },
    async [Symbol.asyncDispose]() {
      await handle.close();
      await rm(temporary, { force: true });
    },
  };
}

const BUFFER_BYTES = 1024 * 1024;

/** Writes from the file's beginning on. */
function fileOutput(handle: FileHandle, path: string): Writable {
  let end = 0;
  const write = async (chunks: readonly Uint8Array[]): Promise<void> => {
    await onDisk(path, () => writeFully(handle, chunks, end));
    end += chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  };
  return new Writable({
    highWaterMark: BUFFER_BYTES,
    write: (chunk: Buffer, _encoding, done) => void write([chunk]).then(() => done(), done),
    writev: (chunks, done) => void write(chunks.map(({ chunk }) => chunk as Buffer)).then(() => done(), done),
  });
}

function isDirectory(reference: string, path: string): ImgcopyError {
  return new ImgcopyError(`${reference} is a directory, not an archive`, {
    code: 'ERR_NOT_A_FILE',
    kind: 'usage',
    side: 'destination',
    hint: `write oci:${path} for an OCI layout in a directory, or name a file`,
  });
}
