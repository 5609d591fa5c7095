import { asPromised, inflate } from './inflate.ts';
import { PieceIdentity, PieceList, type Piece } from './piece-list.ts';
import type { TailPosition, TailPromise } from './tail-position.ts';
import { MAX_TOC_TEXT_BYTES, readToc, type Toc } from './toc.ts';
import { UnusableTailError } from './unusable-tail-error.ts';

const TAR_BLOCK_BYTES = 512;
const TOC_NAME = 'stargz.index.json';

/**
 * The gzip members of an eStargz layer.
 *
 * @param tail  from the TOC's member to the end of the blob.
 * @throws UnusableTailError where the tail is broken, or is not the one promised.
 */
export async function estargzPieces(
  tail: Buffer,
  position: TailPosition,
  promise: TailPromise | undefined,
): Promise<readonly Piece[]> {
  const tar = inflate(tail, 'gzip', MAX_TOC_TEXT_BYTES);
  const text = asPromised(tocIn(tar), { digest: promise?.tocTextDigest, size: undefined });
  return memberPieces(await readToc(text), position.tailOffset, 'gzip');
}

/**
 * Members of an eStargz layer, or frames that are laid out in the same way. One begins at the content of each file that is not empty, and
 * at each further chunk of it; it continues with the padding and all headers up to the next content. The first begins at 0, with headers.
 * Several small files may share one.
 */
export function memberPieces(toc: Toc, tailOffset: number, compression: 'gzip' | 'zstd'): readonly Piece[] {
  const pieces = new PieceList(tailOffset);
  let member = new PieceIdentity(`member-${compression}`);
  let memberOffset = 0;
  let paddedSize = 0;
  for (const { header, size, payload } of toc.entries) {
    if (header !== undefined) {
      member.add(paddedSize % TAR_BLOCK_BYTES);
      member.add(header);
      paddedSize = size;
    }
    if (payload === undefined) continue;
    if (payload.offset !== memberOffset) {
      pieces.addUpTo(payload.offset, member.finish());
      member = new PieceIdentity(`member-${compression}`);
      memberOffset = payload.offset;
    }
    member.add(payload.digest);
  }
  member.add(paddedSize % TAR_BLOCK_BYTES);
  return pieces.finish(member.finish());
}

/** The content of the tar stream's first entry, which is to be the TOC. */
async function* tocIn(tar: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let head: Buffer = Buffer.alloc(0);
  let remaining: number | undefined;
  for await (const chunk of tar) {
    let content = chunk;
    if (remaining === undefined) {
      head = Buffer.concat([head, chunk]);
      if (head.length < TAR_BLOCK_BYTES) continue;
      remaining = tocSize(head.subarray(0, TAR_BLOCK_BYTES));
      content = head.subarray(TAR_BLOCK_BYTES);
    }
    yield content.subarray(0, remaining);
    remaining -= Math.min(remaining, content.length);
  }
  if (remaining !== 0) throw new UnusableTailError('it is cut short');
}

/** The size that a tar header gives, in octal digits. @see https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html (ustar) */
function tocSize(header: Buffer): number {
  const name = header.toString('latin1', 0, 100).replace(/\0.*$/s, '');
  const size = /^[0-7]{1,12}/.exec(header.toString('latin1', 124, 136))?.[0];
  if (name !== TOC_NAME || size === undefined) throw new UnusableTailError('its tar header is broken');
  return Number.parseInt(size, 8);
}
