import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { open, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WaitOptions } from '../../contract/blob-info.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { onDisk } from '../../local/disk-error.ts';
import { writeFully, writeInBatches } from '../../local/write-in-batches.ts';
import type { OpenMember } from './archive.ts';
import { MemberIndex, type Place } from './member-index.ts';
import type { PassingMember } from './read-members.ts';
import { StoredMembers } from './stored-members.ts';

/** How much of a stream may wait, in bytes. */
export const MAX_SPOOLED_BYTES: number = 64 * 1024 ** 3;

/** Members of a stream that wait, one after the other in a file that has no name any more: it goes with the process. */
export class Spool implements AsyncDisposable {
  readonly #reference: string;
  readonly #index: MemberIndex;
  #file: { readonly handle: FileHandle; readonly path: string; readonly stored: StoredMembers } | undefined;
  #end = 0;

  /** @param reference  the archive, for messages. */
  constructor(reference: string) {
    this.#reference = reference;
    this.#index = new MemberIndex(reference);
  }

  get names(): IterableIterator<string> {
    return this.#index.names;
  }

  has(name: string): boolean {
    return this.#index.has(name);
  }

  find(name: string): Place | undefined {
    return this.#index.find(name);
  }

  open(name: string, options: WaitOptions): OpenMember | undefined {
    const place = this.#index.find(name);
    return place && this.#file && { stream: this.#file.stored.stream(place, options), size: place.size };
  }

  /**
   * Keeps a member until the end. Of one that comes twice, the first is kept.
   * @throws ImgcopyError ERR_SPOOL_FULL, ERR_DISK_FULL
   */
  async keep({ open: openMember, ...member }: PassingMember, { signal }: WaitOptions): Promise<void> {
    const { name, kind, size } = member;
    const isNew = !this.#index.has(name);
    const offset = this.#end;
    this.#index.add({ ...member, offset });
    if (!isNew || kind !== 'file') return;
    if (offset + size > MAX_SPOOLED_BYTES) throw this.#full();
    this.#file ??= await openNameless();
    const { handle, path } = this.#file;
    const write = async (pieces: readonly Uint8Array[]): Promise<void> => {
      await onDisk(path, () => writeFully(handle, pieces, this.#end), WITH_SPACE);
      this.#end += pieces.reduce((sum, piece) => sum + piece.length, 0);
    };
    await writeInBatches(openMember(), write, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.handle.close();
  }

  #full(): ImgcopyError {
    return new ImgcopyError(
      `more than ${MAX_SPOOLED_BYTES} bytes of ${this.#reference} would have to wait on the disk`,
      {
        code: 'ERR_SPOOL_FULL',
        side: 'source',
        hint: 'write the stream to a file first, and copy from that',
      },
    );
  }
}

const WITH_SPACE = 'free some space there, or set TMPDIR to a directory that has more';

async function openNameless(): Promise<{ handle: FileHandle; path: string; stored: StoredMembers }> {
  const path = join(spoolDirectory(), `imgcopy-${randomBytes(8).toString('hex')}`);
  const handle = await onDisk(path, () => open(path, 'wx+', 0o600), WITH_SPACE);
  try {
    await rm(path);
  } catch (error) {
    await handle.close();
    throw error;
  }
  return { handle, path, stored: new StoredMembers(handle, path) };
}

/** /tmp may be memory. @see https://systemd.io/TEMPORARY_DIRECTORIES/ */
function spoolDirectory(): string {
  if (process.env['TMPDIR'] !== undefined && process.env['TMPDIR'] !== '') return tmpdir();
  return existsSync('/var/tmp') ? '/var/tmp' : tmpdir();
}
