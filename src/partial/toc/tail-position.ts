import { isDigest, type Digest } from '../../digest/digest.ts';
import type { BlobInfo } from '../../contract/blob-info.ts';
import type { ChunkedFormat } from '../../manifest/layer-compression.ts';
import { UnusableTailError } from './unusable-tail-error.ts';

/** Where a blob's table of contents (TOC) is. Sizes and offsets in bytes. */
export interface TailPosition {
  readonly format: ChunkedFormat;
  /** Where the TOC's frame or member begins, and all pieces have ended. */
  readonly tailOffset: number;
  /** Size of the compressed TOC; undefined where the footer does not say. */
  readonly tocSize: number | undefined;
  /** Size of the TOC's text; undefined where the footer does not say. */
  readonly tocTextSize: number | undefined;
}

/** What a layer's annotations promise of its tail. */
export interface TailPromise {
  readonly format: ChunkedFormat;
  readonly position: TailPosition | undefined;
  /** Digest of the compressed TOC. */
  readonly tocDigest: Digest | undefined;
  /** Digest of the TOC's text. */
  readonly tocTextDigest: Digest | undefined;
}

/** The first byte of a skippable frame's content, counted from the frame's start. */
export const SKIPPABLE_HEADER_BYTES = 8;

/** 50 2a 4d 18. @see https://www.rfc-editor.org/rfc/rfc8878#section-3.1.2 */
export const SKIPPABLE_MAGIC = 0x184d2a50;

/**
 * Footers by size and by what marks them. Storage since 1.50; 1.47 to 1.49, which keep room for the tar-split but leave it empty; all
 * before, and stargz-snapshotter. (Read from layers written by storage 1.45.4, 1.47.0, 1.48.0, 1.49.0, 1.50.2, 1.51.0 and 1.53.0.)
 */
const ZSTD_FOOTERS = [
  { size: 64, magic: 'GNUlInUx', magicOffset: 56 },
  { size: 56, magic: 'GnUlInUx', magicOffset: 32 },
  { size: 40, magic: 'GnUlInUx', magicOffset: 32 },
];

const ESTARGZ_FOOTER_BYTES = 51;
/** The first bytes of a gzip member (deflate) with an extra field. */
const GZIP_WITH_EXTRA = 0x1f8b0804;
/** Length of the extra fields, 26; name of the first, `SG`; its length, 22. */
const ESTARGZ_EXTRA_HEX = '1a0053471600';

/** The largest footer: what has to be read to find out whether a blob has one. */
export const FOOTER_BYTES = 72;

// Storage writes the first prefix since 1.44, stargz-snapshotter and older releases of storage the second.
const ZSTD_PREFIXES = ['io.github.containers.zstd-chunked.', 'io.containers.zstd-chunked.'];
const STARGZ_TOC_DIGEST = 'containerd.io/snapshot/stargz/toc.digest';

/** `manifest-type` of the only kind of TOC there is. */
const MANIFEST_TYPE_CRFS = 1;

/**
 * What the annotations say of the tail; undefined where they say nothing.
 *
 * @throws UnusableTailError where they cannot be true.
 */
export function annotatedTail(info: BlobInfo): TailPromise | undefined {
  const annotations = info.annotations ?? {};
  const tocTextDigest = digestIn(annotations[STARGZ_TOC_DIGEST]);
  for (const prefix of ZSTD_PREFIXES) {
    const position = annotations[`${prefix}manifest-position`];
    if (position === undefined) continue;
    return {
      format: 'zstd:chunked',
      position: zstdPosition(position.split(':').map(decimal), info.size),
      tocDigest: digestIn(annotations[`${prefix}manifest-checksum`]),
      tocTextDigest,
    };
  }
  if (tocTextDigest === undefined) return undefined;
  return { format: 'estargz', position: undefined, tocDigest: undefined, tocTextDigest };
}

/**
 * Finds the tail by the footer that ends the blob.
 *
 * @param end  the blob's last bytes, at least 72 where it has that many.
 * @returns undefined where there is no footer of a known kind.
 * @throws UnusableTailError where the footer cannot be true.
 */
export function positionInFooter(end: Buffer, blobSize: number): TailPosition | undefined {
  return zstdFooter(end, blobSize) ?? estargzFooter(end, blobSize);
}

function zstdFooter(end: Buffer, blobSize: number): TailPosition | undefined {
  for (const { size, magic, magicOffset } of ZSTD_FOOTERS) {
    if (end.length < SKIPPABLE_HEADER_BYTES + size) continue;
    const header = end.subarray(-SKIPPABLE_HEADER_BYTES - size);
    const footer = end.subarray(-size);
    const isFrame = header.readUInt32LE(0) === SKIPPABLE_MAGIC && header.readUInt32LE(4) === size;
    if (!isFrame || footer.toString('latin1', magicOffset, magicOffset + magic.length) !== magic) continue;
    return zstdPosition(
      [0, 8, 16, 24].map((at) => Number(footer.readBigUInt64LE(at))),
      blobSize,
    );
  }
  return undefined;
}

/** @param numbers  offset, compressed and uncompressed size of the TOC, and its type: the same in annotations and footers. */
function zstdPosition(numbers: readonly number[], blobSize: number): TailPosition {
  const [offset = -1, size = -1, textSize = -1, type] = numbers;
  const isTrue =
    numbers.length === 4 &&
    numbers.every((number) => Number.isSafeInteger(number)) &&
    offset >= SKIPPABLE_HEADER_BYTES &&
    size > 0 &&
    textSize > 0 &&
    offset + size < blobSize &&
    type === MANIFEST_TYPE_CRFS;
  if (!isTrue) throw new UnusableTailError(`its position is not inside the blob of ${blobSize} bytes`);
  return { format: 'zstd:chunked', tailOffset: offset - SKIPPABLE_HEADER_BYTES, tocSize: size, tocTextSize: textSize };
}

/** The footer is an empty gzip member with the extra field `SG`, 22 bytes long: the TOC's offset in 16 hex digits, and STARGZ. */
function estargzFooter(end: Buffer, blobSize: number): TailPosition | undefined {
  if (end.length < ESTARGZ_FOOTER_BYTES) return undefined;
  const footer = end.subarray(-ESTARGZ_FOOTER_BYTES);
  const isMember = footer.readUInt32BE(0) === GZIP_WITH_EXTRA && footer.toString('hex', 10, 16) === ESTARGZ_EXTRA_HEX;
  const offset = /^([0-9a-f]{16})STARGZ$/.exec(footer.toString('latin1', 16, 38))?.[1];
  if (!isMember || offset === undefined) return undefined;
  const tailOffset = Number.parseInt(offset, 16);
  if (tailOffset < 1 || tailOffset >= blobSize - ESTARGZ_FOOTER_BYTES) {
    throw new UnusableTailError(`its position is not inside the blob of ${blobSize} bytes`);
  }
  return { format: 'estargz', tailOffset, tocSize: undefined, tocTextSize: undefined };
}

function digestIn(text: string | undefined): Digest | undefined {
  if (text === undefined || isDigest(text)) return text;
  throw new UnusableTailError('its annotated digest is none');
}

function decimal(text: string): number {
  return /^\d{1,16}$/.test(text) ? Number(text) : NaN;
}
