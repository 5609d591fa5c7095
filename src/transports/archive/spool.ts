import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { open, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { WaitOptions } from '../../contract/blob-info.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { byteLength } from '../../io/byte-length.ts';
import { orAborted } from '../../io/or-aborted.ts';
import { onDisk } from '../../local/disk-error.ts';
import { writeFully, writeInBatches } from '../../local/write-in-batches.ts';
import type { OpenMember, OpenMemberOptions } from './archive.ts';
import { MemberIndex, type Place } from './member-index.ts';
import type { PassingMember } from './read-members.ts';
import { StoredMembers } from './stored-members.ts';
import type { MemberWatch } from './watch-layer.ts';

/** How much of a stream may wait, in bytes. */
const MAX_SPOOLED_BYTES: number = 64 * 1024 ** 3;

export interface KeepOptions extends WaitOptions {
  readonly watch?: MemberWatch | undefined;
}

export interface FollowOptions extends WaitOptions {
  /** Whether to begin only when all of it has come. Default false. */
  readonly isWhole?: boolean | undefined;
}

/** Members of a stream that wait, one after the other in a file that has no name any more: it goes with the process. */
export class Spool implements AsyncDisposable {
  readonly #reference: string;
  readonly #index: MemberIndex;
  #file: { readonly handle: FileHandle; readonly path: string; readonly stored: StoredMembers } | undefined;
  #end = 0;
  #moved = Promise.withResolvers<void>();
  #failure: { readonly error: unknown } | undefined;

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

  open(name: string, options: OpenMemberOptions): OpenMember | undefined {
    const place = this.#index.find(name);
    return place && this.#file && { stream: this.#file.stored.stream(place, options), size: place.size };
  }

  /**
   * Reads a member of which some bytes have come; the others may still be coming.
   * @throws (from the stream) the error that ended the member.
   */
  follow(name: string, options: FollowOptions = {}): Readable {
    return Readable.from(this.#comingBytes(name, options), { objectMode: false });
  }

  /**
   * Keeps a member until the end. Of one that comes twice, the first is kept.
   * @throws ImgcopyError ERR_SPOOL_FULL, ERR_DISK_FULL
   */
  async keep(member: PassingMember, options: KeepOptions): Promise<void> {
    try {
      await this.#keep(member, options);
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  async #keep({ open: openMember, ...member }: PassingMember, { signal, watch }: KeepOptions): Promise<void> {
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
      this.#end += byteLength(pieces);
      for (const piece of pieces) watch?.saw(piece);
      this.#wake();
    };
    await writeInBatches(openMember({ givesBack: true }), write, signal);
    watch?.ended();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#fail(new Error(`${this.#reference} was closed`));
    await this.#file?.handle.close();
  }

  async *#comingBytes(name: string, { isWhole = false, signal }: FollowOptions): AsyncGenerator<Buffer> {
    const place = this.find(name);
    if (place === undefined || this.#file === undefined) throw new Error(`nothing of ${name} has come yet`);
    const { stored } = this.#file;
    const end = place.offset + place.size;
    for (let offset = place.offset; offset < end;) {
      await this.#hasCome(isWhole ? end : offset + 1, signal);
      const size = Math.min(this.#end, end) - offset;
      yield* stored.stream({ offset, size }, { signal }) as AsyncIterable<Buffer>;
      offset += size;
    }
  }

  /** Waits until so many bytes are in the file. */
  async #hasCome(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    while (this.#end < bytes) {
      if (this.#failure !== undefined) throw this.#failure.error;
      await orAborted(this.#moved.promise, signal);
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake();
  }

  #wake(): void {
    this.#moved.resolve();
    this.#moved = Promise.withResolvers();
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
