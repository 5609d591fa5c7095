import { Readable } from 'node:stream';
import type { BlobChunkAccessor, BlobRange, BlobStream, ImageSourceChunk } from '../contract/blob-chunk-accessor.ts';
import type { BlobInfo } from '../contract/blob-info.ts';
import { BadPartialRequestError } from '../contract/errors.ts';
import type { GetBlobOptions, ImageSource } from '../contract/image-source.ts';
import { ByteReader } from '../io/byte-reader.ts';
import type { MemoryAccount } from '../io/memory.ts';
import { isForeignLayer } from '../manifest/media-types.ts';
import { fetchRanges } from '../partial/fetch/fetch-ranges.ts';
import { unionOf } from './blob-ranges.ts';
import { fanOut } from './fan-out.ts';
import { partsOf } from './source-parts.ts';

/** What one destination needs of a blob. */
export interface Demand {
  readonly ranges: readonly BlobRange[];
  /** Asked for as one stream. */
  readonly isWhole: boolean;
  readonly options: GetBlobOptions;
  readonly given: PromiseWithResolvers<BlobStream>;
  isGivenUp: boolean;
}

export interface ReadForAllOptions {
  readonly source: ImageSource;
  readonly memory: MemoryAccount;
  readonly signal: AbortSignal;
  /** Called with each packet that the destination of a demand has taken. */
  readonly onTaken: (demand: number) => void;
}

/** Reads of a blob what several destinations need of it, once, and gives each its own. */
export async function readForAll(
  info: BlobInfo,
  demands: readonly Demand[],
  { source, memory, signal, onTaken }: ReadForAllOptions,
): Promise<void> {
  const left = new AbortController();
  // Several read the same bytes.
  const options = { ...demands[0]?.options, givesBack: false, signal: AbortSignal.any([signal, left.signal]) };
  const ranges = unionOf(demands.flatMap((demand) => demand.ranges));
  const parts = partsOf(source);
  const isWhole = demands.some((demand) => demand.isWhole) || parts === undefined || isForeignLayer(info);
  const opened: BlobStream | undefined = isWhole ? await source.getBlob(info, options) : undefined;
  const bytes: AsyncIterable<Buffer> =
    opened?.stream ?? fetchRanges(parts as BlobChunkAccessor, info, ranges, { memory, signal: options.signal });
  const streams = fanOut(bytes, {
    ranges: isWhole ? [{ offset: 0, length: info.size }] : ranges,
    takers: demands.map((demand) => demand.ranges),
    onDeserted: () => {
      left.abort();
      opened?.stream.on('error', () => undefined).destroy();
    },
    onTaken,
  });
  for (const [index, { given, isGivenUp }] of demands.entries()) {
    const stream = streams[index] as Readable;
    if (isGivenUp) stream.destroy();
    given.resolve({ stream, size: opened?.size, contentEncoding: opened?.contentEncoding });
  }
}

/** All of a blob, unverified. */
export async function readWhole(source: ImageSource, info: BlobInfo, options: GetBlobOptions): Promise<Buffer> {
  // The bytes are kept.
  const { stream } = await source.getBlob(info, { ...options, givesBack: false });
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of stream as AsyncIterable<Buffer>) {
    pieces.push(piece);
    length += piece.length;
    // Whoever takes it finds that it is too long.
    if (length > info.size) break;
  }
  return Buffer.concat(pieces);
}

/** Gives all of a blob to each. */
export function give(bytes: Buffer, demands: readonly Demand[]): void {
  for (const { given, isGivenUp } of demands) {
    const stream = Readable.from(bytes.length === 0 ? [] : [bytes], { objectMode: false });
    if (isGivenUp) stream.destroy();
    given.resolve({ stream, size: bytes.length, contentEncoding: undefined });
  }
}

/** One request for all of it, whose bytes are passed on as they come. */
export const SHARED_RANGES: BlobChunkAccessor['rangeSupport'] = {
  isLocal: false,
  isShared: true,
  ranges: true,
  multiRange: true,
  report: () => undefined,
};

export function withLengths({ size }: BlobInfo, chunks: readonly ImageSourceChunk[]): readonly BlobRange[] {
  return chunks.map(({ offset, length }) => ({ offset, length: length ?? size - offset }));
}

/** Parts of a blob, in memory; or why they cannot be had. */
export async function readParts(
  parts: BlobChunkAccessor,
  info: BlobInfo,
  chunks: readonly BlobRange[],
  signal: AbortSignal,
): Promise<readonly Buffer[] | BadPartialRequestError> {
  const answer = await parts.getBlobAt(info, chunks, { signal });
  if (answer.kind === 'refused') return answer.reason;
  if (answer.kind === 'whole') {
    answer.stream.on('error', () => undefined).destroy();
    parts.rangeSupport.report({ ranges: false });
    return new BadPartialRequestError(200, 'the whole blob instead', { side: 'source' });
  }
  const buffers: Buffer[] = [];
  for await (const reader of answer.readers) {
    const pieces: Buffer[] = [];
    for await (const piece of reader as AsyncIterable<Buffer>) pieces.push(piece);
    buffers.push(Buffer.concat(pieces));
  }
  return buffers;
}

export async function* streamsOf(buffers: readonly Buffer[]): AsyncGenerator<Readable> {
  await Promise.resolve();
  for (const bytes of buffers) yield Readable.from([bytes], { objectMode: false });
}

/** A reader for each of the ranges that come one after the other. */
export async function* cut(stream: Readable, ranges: readonly BlobRange[]): AsyncGenerator<Readable> {
  const bytes = new ByteReader(stream as AsyncIterable<Buffer>);
  try {
    for (const { length } of ranges) yield Readable.from(take(bytes, length), { objectMode: false });
  } finally {
    stream.on('error', () => undefined).destroy();
  }
}

async function* take(bytes: ByteReader, length: number): AsyncGenerator<Buffer> {
  for (let left = length; left > 0;) {
    const piece = await bytes.take(left);
    if (piece === undefined) return;
    left -= piece.length;
    yield piece;
  }
}
