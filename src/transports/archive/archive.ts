import type { Readable } from 'node:stream';
import type { ImageSourceChunk } from '../../contract/blob-chunk-accessor.ts';
import type { WaitOptions } from '../../contract/blob-info.ts';

/** A tar archive that is open for reading: a file, or a stream that goes by once. */
export interface Archive extends AsyncDisposable {
  /** As the user names it, for messages. */
  readonly reference: string;
  /** A stream is read on for what has not come yet; what it has before that waits on the disk. */
  readonly isStream: boolean;

  /** The first of these members that there is; of a stream, the one that comes first. */
  firstOf(names: readonly string[], options?: WaitOptions): Promise<string | undefined>;

  /** Whether a member is there; of a stream, whether it has come by now. */
  has(name: string): boolean;

  /** The names of all members. A stream is read to its end for it. */
  names(options?: WaitOptions): Promise<readonly string[]>;

  /** The size of a member, in bytes; undefined where it is not there. */
  sizeOf(name: string, options?: WaitOptions): Promise<number | undefined>;

  /** Opens a member; undefined where it is not there. A large one of a stream is there once, and has to be read to its end before anything else is asked for. */
  open(name: string, options?: OpenMemberOptions): Promise<OpenMember | undefined>;

  /** Reads what is left of a stream, so that its writer can write all of it. Absent for a file. @throws InvalidArchiveError where it is cut. */
  finish?(options?: WaitOptions): Promise<void>;

  /** Ranges of a member; undefined where it is not there. Absent for a stream. */
  readRanges?(
    name: string,
    chunks: readonly ImageSourceChunk[],
    options?: OpenMemberOptions,
  ): AsyncIterable<Readable> | undefined;
}

export interface OpenMemberOptions extends WaitOptions {
  /** Whether who reads keeps none of the bytes, and gives them back (`io/slabs.ts`). Default false. */
  readonly givesBack?: boolean | undefined;
}

export interface OpenMember {
  readonly stream: Readable;
  /** In bytes. */
  readonly size: number;
}

/** How much of an archive may be held in memory: what is larger is no manifest and no config. In bytes. */
export const MAX_SMALL_BYTES: number = 4 * 1024 * 1024;

/**
 * Reads a small member; undefined where it is not there.
 * @param tooLarge  makes the error for a member of more than MAX_SMALL_BYTES.
 */
export async function readSmall(
  archive: Archive,
  name: string,
  { tooLarge, ...options }: WaitOptions & { readonly tooLarge: (size: number) => Error },
): Promise<Buffer | undefined> {
  const size = await archive.sizeOf(name, options);
  if (size === undefined) return undefined;
  if (size > MAX_SMALL_BYTES) throw tooLarge(size);
  const opened = await archive.open(name, options);
  return opened && Buffer.concat((await opened.stream.toArray()) as Buffer[]);
}
