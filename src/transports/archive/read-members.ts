import { posix } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import { extract, type ExtractEvents, type Header } from 'tar-stream';
import { isAbort, ImgcopyError, systemErrorCode } from '../../errors/imgcopy-error.ts';
import { giveBack, keepBytes } from '../../io/slabs.ts';
import type { OpenMemberOptions } from './archive.ts';
import { InvalidArchiveError, quoteName } from './archive-error.ts';

/** A member of a tar archive that is a file, or stands for one. */
export interface Member {
  /** Relative, without `.` and `..`, its parts parted by single slashes. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** Where its bytes begin in the archive. */
  readonly offset: number;
  /** `link`: another member has the bytes, `target`. `other`: a device, a sparse file, or what else cannot be read as a file. */
  readonly kind: 'file' | 'link' | 'other';
  readonly target?: string | undefined;
}

/** A member whose bytes come by now. */
export interface PassingMember extends Member {
  /** Its bytes: to be read to their end, or not at all, before the next member is asked for. */
  readonly open: (options?: Pick<OpenMemberOptions, 'givesBack'>) => Readable;
}

/** A `docker save` of a hundred images has ten thousand. */
export const MAX_MEMBERS = 100_000;

/** No name of a layout is longer, in characters: others are not looked at. */
const MAX_NAME_LENGTH = 255;

/** Tar has its parts in blocks of so many bytes. */
const BLOCK = 512;

/** Where what follows a member begins in the archive. */
export function endOfMember({ offset, size }: Pick<Member, 'offset' | 'size'>): number {
  return offset + Math.ceil(size / BLOCK) * BLOCK;
}

/**
 * Reads a tar archive in one pass. Directories are left out.
 *
 * @param reference  the archive, for messages.
 * @throws InvalidArchiveError for what is no tar archive, is cut, has a member outside of it (`../x`, `/x`), or too many; the archive's own error.
 */
export async function* readMembers(archive: Readable, reference: string): AsyncGenerator<PassingMember> {
  const parser = extract();
  const feeding = pipeline(archive, parser as unknown as NodeJS.WritableStream);
  feeding.catch(() => undefined);
  const explain = async (error: unknown): Promise<unknown> => asArchiveError(await causeOf(error, feeding), reference);
  try {
    let count = 0;
    for await (const entry of parser) {
      count += 1;
      if (count > MAX_MEMBERS) throw tooMany(reference);
      const member = memberOf(entry.header, reference);
      if (member === undefined || member.name.length > MAX_NAME_LENGTH) {
        skip(entry);
        continue;
      }
      let stream: Readable | undefined;
      const open: PassingMember['open'] = ({ givesBack = false } = {}) =>
        (stream ??= Readable.from(bytesOf(entry, { givesBack, explain }), { objectMode: true, highWaterMark: 1 }));
      yield { ...member, open };
      if (stream === undefined) skip(entry);
      else if (!stream.readableEnded) throw new Error(`${member.name} was not read to its end`);
    }
  } catch (error) {
    throw await explain(error);
  } finally {
    parser.destroy();
    archive.destroy();
  }
}

function skip(entry: ExtractEvents['entry'][1]): void {
  entry.on('data', (bytes: unknown) => giveBack(bytes as Buffer));
}

interface BytesOptions {
  readonly givesBack: boolean;
  readonly explain: (error: unknown) => Promise<unknown>;
}

async function* bytesOf(entry: AsyncIterable<unknown>, { givesBack, explain }: BytesOptions): AsyncGenerator<Buffer> {
  try {
    for await (const bytes of entry as AsyncIterable<Buffer>) {
      if (!givesBack) keepBytes(bytes);
      yield bytes;
    }
  } catch (error) {
    throw await explain(error);
  }
}

/** A member ends with the parser, which ends with what feeds it: that tells why. */
async function causeOf(error: unknown, feeding: Promise<void>): Promise<unknown> {
  if (systemErrorCode(error) !== 'STREAM_DESTROYED') return error;
  return await feeding.then(
    () => error,
    (cause: unknown) => cause,
  );
}

function memberOf(header: Header, reference: string): Member | undefined {
  const { size, type, linkname: linkName } = header;
  if (type === 'directory') return undefined;
  const name = insideName(header.name, reference);
  // The types of tar-stream leave it out. @see https://github.com/mafintosh/tar-stream/blob/v3.2.2/extract.js (byteOffset)
  const offset = (header as Header & { readonly byteOffset: number }).byteOffset;
  if (type === 'symlink' || type === 'link') {
    // An absolute one leads to a file of the machine, and so to nothing in the archive.
    const from = type === 'symlink' ? posix.resolve('/', posix.dirname(name)) : '/';
    const target = posix.isAbsolute(linkName) ? linkName : posix.relative('/', posix.resolve(from, linkName));
    return { name, size, offset, kind: 'link', target };
  }
  const isFile = (type === 'file' || type === 'contiguous-file') && !isSparse(header.pax);
  return { name, size, offset, kind: isFile ? 'file' : 'other' };
}

/** Of a sparse file, an archive has the parts that are not empty, and a map of them. @see https://www.gnu.org/software/tar/manual/html_section/Sparse-Formats.html */
function isSparse(pax: unknown): boolean {
  return typeof pax === 'object' && pax !== null && Object.keys(pax).some((key) => key.startsWith('GNU.sparse.'));
}

function insideName(written: string, reference: string): string {
  const parts = written.split('/').filter((part) => part !== '' && part !== '.');
  if (!written.startsWith('/') && !parts.includes('..')) return parts.join('/');
  throw new InvalidArchiveError(`${reference} has a member outside of the archive: ${quoteName(written)}`, {
    hint: 'do not use this archive: no tool writes such names for an image',
  });
}

function tooMany(reference: string): InvalidArchiveError {
  return new InvalidArchiveError(`${reference} has more than ${MAX_MEMBERS} members, too many for an image`, {
    hint: 'check that it is an archive of images',
  });
}

function asArchiveError(error: unknown, reference: string): unknown {
  if (error instanceof ImgcopyError || isAbort(error) || !(error instanceof Error)) return error;
  if (systemErrorCode(error) !== undefined) return error;
  const isCut = error.message === 'Unexpected end of data';
  return new InvalidArchiveError(isCut ? `${reference} ends too early` : `${reference} is not a valid tar archive`, {
    cause: error,
  });
}
