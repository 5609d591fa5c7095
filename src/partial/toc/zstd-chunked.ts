import { digestOf } from '../../digest/digest.ts';
import { memberPieces } from './estargz.ts';
import { asPromised, inflate } from './inflate.ts';
import { PieceIdentity, PieceList, type Piece } from './piece-list.ts';
import { SKIPPABLE_HEADER_BYTES, SKIPPABLE_MAGIC, type TailPosition, type TailPromise } from './tail-position.ts';
import { gapDigests, MAX_TAR_SPLIT_TEXT_BYTES } from './tar-split.ts';
import type { TocPayload } from './toc-entry.ts';
import { MAX_TOC_TEXT_BYTES, readToc, type Toc } from './toc.ts';
import { UnusableTailError } from './unusable-tail-error.ts';

const MAX_FRAMES = 3;

/**
 * The frames of a zstd:chunked layer.
 *
 * @param tail  from the TOC's frame to the end of the blob.
 * @throws UnusableTailError where the tail is broken, or is not the one promised.
 */
export async function zstdChunkedPieces(
  tail: Buffer,
  position: TailPosition,
  promise: TailPromise | undefined,
): Promise<readonly Piece[]> {
  const [compressedToc, ...others] = skippableFrames(tail);
  if (compressedToc === undefined || compressedToc.length !== position.tocSize) {
    throw new UnusableTailError('its frame is not where it should be');
  }
  if (promise?.tocDigest !== undefined && digestOf(compressedToc) !== promise.tocDigest) {
    throw new UnusableTailError('it does not match its digest');
  }
  const text = inflate(compressedToc, 'zstd', MAX_TOC_TEXT_BYTES);
  const toc = await readToc(asPromised(text, { digest: promise?.tocTextDigest, size: position.tocTextSize }));
  // stargz-snapshotter's writer lays the blob out as it does in eStargz, headers and all, and never says where a frame ends.
  if (!toc.entries.some(({ payload }) => payload?.endOffset !== undefined)) {
    return memberPieces(toc, position.tailOffset, 'zstd');
  }
  const tarSplit = others.length === 2 ? others[0] : undefined;
  return framePieces(toc, position.tailOffset, await gapsOf(toc, tarSplit));
}

/** The contents of the skippable frames that these bytes consist of: the TOC, a tar-split in newer layers, the footer. */
function skippableFrames(tail: Buffer): readonly Buffer[] {
  const frames: Buffer[] = [];
  let at = 0;
  while (frames.length < MAX_FRAMES && isSkippable(tail, at)) {
    const start = at + SKIPPABLE_HEADER_BYTES;
    at = start + tail.readUInt32LE(at + 4);
    frames.push(tail.subarray(start, at));
  }
  if (at !== tail.length) throw new UnusableTailError('it does not end with the blob');
  return frames;
}

function isSkippable(tail: Buffer, at: number): boolean {
  return at + SKIPPABLE_HEADER_BYTES <= tail.length && tail.readUInt32LE(at) === SKIPPABLE_MAGIC;
}

/** Identities for all that is between the contents of files, one more than there are contents. */
async function gapsOf(toc: Toc, tarSplit: Buffer | undefined): Promise<readonly string[]> {
  const predicted = predictedGaps(toc);
  if (tarSplit === undefined) return predicted;
  if (toc.tarSplitDigest !== undefined && digestOf(tarSplit) !== toc.tarSplitDigest) {
    throw new UnusableTailError('its tar-split does not match its digest');
  }
  const known = await gapDigests(inflate(tarSplit, 'zstd', MAX_TAR_SPLIT_TEXT_BYTES));
  return known.length === predicted.length ? known.map((digest) => `gap ${digest}`) : predicted;
}

/** What the gaps hold by the TOC: the padding of the file before, and all headers up to that of the file after. */
function predictedGaps(toc: Toc): readonly string[] {
  const gaps: string[] = [];
  let gap = new PieceIdentity(`headers${toc.version}`);
  for (const { header, size } of toc.entries) {
    if (header !== undefined) gap.add(header);
    if (size === 0) continue;
    gaps.push(gap.finish());
    gap = new PieceIdentity(`headers${toc.version}`);
    gap.add(size % 512);
  }
  return [...gaps, gap.finish()];
}

/** Gaps and contents by turns. A chunk of a content ends where the next one begins, and the last where the content does. */
function framePieces(toc: Toc, tailOffset: number, gaps: readonly string[]): readonly Piece[] {
  const pieces = new PieceList(tailOffset);
  const contents = contentsOf(toc);
  for (const [index, { offset, endOffset, chunks }] of contents.entries()) {
    pieces.addUpTo(offset, gaps[index] ?? '');
    for (const [position, { digest }] of chunks.entries()) {
      pieces.addUpTo(chunks[position + 1]?.offset ?? endOffset, `chunk ${digest}`);
    }
  }
  return pieces.finish(gaps[contents.length] ?? '');
}

interface FileContent {
  readonly offset: number;
  readonly endOffset: number;
  readonly chunks: readonly TocPayload[];
}

function contentsOf(toc: Toc): readonly FileContent[] {
  const contents: (FileContent & { readonly chunks: TocPayload[] })[] = [];
  for (const { header, payload } of toc.entries) {
    if (payload === undefined) continue;
    const { offset, endOffset } = payload;
    if (header === undefined) contents.at(-1)?.chunks.push(payload);
    else if (endOffset === undefined) throw new UnusableTailError('an entry does not say where it ends');
    else contents.push({ offset, endOffset, chunks: [payload] });
  }
  return contents;
}
