/**
 * Reading what a chunked layer says of itself.
 *
 * zstd:chunked, as podman, buildah and skopeo write it, is a series of zstd frames:
 *
 *     G0 D D … G1 D … Gn | TOC | tar-split | footer
 *
 * - G: tar headers and padding between the contents of two files, in one frame; D: a chunk of a file's content, in a frame of its own.
 * - TOC, tar-split and footer are skippable frames: 50 2a 4d 18, length (u32le), content. TOC and tar-split are zstd streams in turn.
 * - TOC: JSON `{version, entries, tarSplitDigest}`, with offset, endOffset and digest of every D. G is what lies between.
 * - tar-split (storage >= 1.47): JSON lines with the raw bytes of every G.
 * - Footer: offset, compressed size, size and type (1) of the TOC as u64le, then, in newer versions, offset and sizes of the tar-split, then
 *   `GNUlInUx`; 64 bytes in all. Before storage 1.50 40 bytes and `GnUlInUx`, from 1.47 on with 16 zeros behind that. Offsets point
 *   behind the 8 bytes of the frame's header.
 * - Annotations `io.github.containers.zstd-chunked.manifest-position` (offset:size:uncompressed size:type) and `….manifest-checksum` (of
 *   the compressed TOC); before storage 1.44 with the prefix `io.containers.`.
 *
 * eStargz is a series of gzip members:
 *
 *     H0 M M … M | TOC | footer
 *
 * - H0: the first tar headers; M: a chunk of a file's content, then the file's padding and all headers up to the next content.
 * - TOC: the tar entry `stargz.index.json`, with offset and chunkDigest of every M.
 * - Footer: an empty member of 51 bytes whose extra field `SG` has the TOC's offset in 16 hex digits, then `STARGZ`.
 * - Annotation `containerd.io/snapshot/stargz/toc.digest`, of the TOC's JSON. Where the TOC is, the footer alone says.
 *
 * stargz-snapshotter also writes eStargz's layout in zstd frames, with storage's old annotations and 40-byte footer. No entry has an
 * endOffset there.
 *
 * @see https://github.com/containers/storage/blob/main/pkg/chunked/internal/minimal/compression.go
 * @see https://github.com/containers/storage/blob/main/pkg/chunked/compressor/compressor.go
 * @see https://github.com/containerd/stargz-snapshotter/blob/main/docs/estargz.md
 * @see https://github.com/containerd/stargz-snapshotter/blob/main/estargz/zstdchunked/zstdchunked.go
 */
import { buffer } from 'node:stream/consumers';
import type { ChunkedFormat } from '../../manifest/layer-compression.ts';
import { Semaphore } from '../../io/semaphore.ts';
import type { BlobChunkAccessor, UnansweredRanges, BlobRange } from '../../contract/blob-chunk-accessor.ts';
import type { BlobInfo, WaitOptions } from '../../contract/blob-info.ts';
import { brokenContract } from '../../contract/errors.ts';
import { estargzPieces } from './estargz.ts';
import type { Piece } from './piece-list.ts';
import { annotatedTail, FOOTER_BYTES, positionInFooter, type TailPosition, type TailPromise } from './tail-position.ts';
import { UnusableTailError } from './unusable-tail-error.ts';
import { zstdChunkedPieces } from './zstd-chunked.ts';

/** What a chunked layer says of itself. */
export interface ChunkedTail {
  readonly format: ChunkedFormat;
  /** Where the table of contents begins, in bytes. */
  readonly tailOffset: number;
  /** The blob from `tailOffset` to its end. */
  readonly tailBytes: Buffer;
  /** All of the blob that was read: the tail, and what came before it in the same range. */
  readonly end: BlobEnd;
  /** In the order of the blob, without gap or overlap, from 0 to `tailOffset`. */
  readonly pieces: readonly Piece[];
}

/** The last bytes of a blob. */
export interface BlobEnd {
  /** Where they begin, in bytes. */
  readonly offset: number;
  readonly bytes: Buffer;
}

export interface TailLocation {
  /** Where to begin reading, in bytes: the tail itself if `source` is `annotation`, else a guess. */
  readonly offset: number;
  readonly source: 'annotation' | 'footer-needed';
  /** What the layer is by its annotations; undefined where they do not say. */
  readonly format: ChunkedFormat | undefined;
}

export interface ReadTailOptions extends WaitOptions {
  /** Size of the tail of a similar blob, in bytes. An eighth more is read at once where the annotations do not say how much to read. */
  readonly tailGuess?: number | undefined;
}

/** One is inflated at a time: its window and entries take memory beside the budget. Nobody waits for memory in the meantime. */
const inflations = new Semaphore(1);

/** The compressed TOC. Larger ones take longer than they save, and too much memory. */
const MAX_TOC_BYTES = 8 * 1024 * 1024;
/** TOC, tar-split and footer: a tar-split takes about as much as the TOC. */
const MAX_TAIL_BYTES = 2 * MAX_TOC_BYTES + 1024 * 1024;
const MIN_BLOB_BYTES = 48;

/** Tails took 0.1 to 3 % of the layers looked at, 7.5 % of one with very small files. */
const DEFAULT_GUESS = { share: 1 / 64, min: 32 * 1024, max: 1024 * 1024 };
const GUESS_MARGIN = 1.125;

/**
 * Where reading a layer's tail begins: at the place that the annotations give; else as far from the end as `tailGuess` says; else, where
 * the layer is not annotated at all, at the footer.
 *
 * @returns undefined where the annotations cannot be true.
 */
export function locateTail(info: BlobInfo, tailGuess?: number): TailLocation | undefined {
  try {
    return locationOf(info, annotatedTail(info), tailGuess);
  } catch (error) {
    if (error instanceof UnusableTailError) return undefined;
    throw error;
  }
}

/**
 * Reads a layer's table of contents: one range where annotations or guess say enough, else two.
 *
 * @returns undefined where the blob is no chunked layer, or its table of contents is broken, untrue or too large; the answer where that was not the
 *   ranges.
 * @throws what the accessor throws.
 */
export async function readTail(
  accessor: BlobChunkAccessor,
  info: BlobInfo,
  options: ReadTailOptions = {},
): Promise<ChunkedTail | UnansweredRanges | undefined> {
  try {
    const promise = annotatedTail(info);
    const fetched = await fetchTail(accessor, info, promise, options);
    if ('kind' in fetched) return fetched;
    const { position, end } = fetched;
    const { format, tailOffset } = position;
    const tailBytes = end.bytes.subarray(tailOffset - end.offset);
    const piecesOf = format === 'estargz' ? estargzPieces : zstdChunkedPieces;
    const release = await inflations.acquire({ signal: options.signal });
    try {
      return { format, tailOffset, tailBytes, end, pieces: await piecesOf(tailBytes, position, promise) };
    } finally {
      release();
    }
  } catch (error) {
    if (error instanceof UnusableTailError) return undefined;
    throw error;
  }
}

async function fetchTail(
  accessor: BlobChunkAccessor,
  info: BlobInfo,
  promise: TailPromise | undefined,
  options: ReadTailOptions,
): Promise<{ readonly position: TailPosition; readonly end: BlobEnd } | UnansweredRanges> {
  if (promise?.position !== undefined) assertReadable(promise.position, info);
  if (info.size < MIN_BLOB_BYTES) throw new UnusableTailError('the blob is too small');
  const { offset } = locationOf(info, promise, options.tailGuess);
  const bytes = await readRange(accessor, info, { offset, length: info.size - offset }, options);
  if (!Buffer.isBuffer(bytes)) return bytes;
  const position = promise?.position ?? positionInFooter(bytes, info.size);
  if (position === undefined) throw new UnusableTailError('the blob has no footer');
  assertReadable(position, info);
  const missing = { offset: position.tailOffset, length: offset - position.tailOffset };
  if (missing.length <= 0) return { position, end: { offset, bytes } };
  const before = await readRange(accessor, info, missing, options);
  if (!Buffer.isBuffer(before)) return before;
  return { position, end: { offset: missing.offset, bytes: Buffer.concat([before, bytes]) } };
}

function locationOf(info: BlobInfo, promise: TailPromise | undefined, tailGuess: number | undefined): TailLocation {
  const format = promise?.format;
  if (promise?.position !== undefined) return { offset: promise.position.tailOffset, source: 'annotation', format };
  const length = guessedLength(info, format, tailGuess);
  return { offset: Math.max(0, info.size - length), source: 'footer-needed', format };
}

function guessedLength(info: BlobInfo, format: ChunkedFormat | undefined, tailGuess: number | undefined): number {
  if (tailGuess !== undefined) return clamp(Math.ceil(tailGuess * GUESS_MARGIN), FOOTER_BYTES, MAX_TAIL_BYTES);
  if (format === undefined) return FOOTER_BYTES;
  const { share, min, max } = DEFAULT_GUESS;
  return clamp(Math.ceil(info.size * share), min, max);
}

function assertReadable(position: TailPosition, info: BlobInfo): void {
  const tailSize = info.size - position.tailOffset;
  const tocSize = position.tocSize ?? tailSize;
  if (tocSize > MAX_TOC_BYTES || tailSize > MAX_TAIL_BYTES) {
    throw new UnusableTailError(`it takes ${tailSize} bytes, at most ${MAX_TAIL_BYTES} are read`);
  }
}

async function readRange(
  accessor: BlobChunkAccessor,
  info: BlobInfo,
  range: BlobRange,
  { signal }: WaitOptions,
): Promise<Buffer | UnansweredRanges> {
  const answer = await accessor.getBlobAt(info, [range], { signal });
  if (answer.kind !== 'ranges') return answer;
  const parts: Buffer[] = [];
  // Leaving this loop after its only part would abort a request that is done.
  for await (const part of answer.readers) parts.push(await buffer(part));
  const bytes = Buffer.concat(parts);
  if (bytes.length !== range.length)
    throw brokenContract(`getBlobAt gave ${bytes.length} bytes for a range of ${range.length}`);
  return bytes;
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max);
}
