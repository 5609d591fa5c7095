import { Readable } from 'node:stream';
import type { HttpResponse } from '../../../src/http/send/send.ts';
import type { ByteRange } from '../../../src/io/byte-range.ts';
import type { BlobInfo } from '../../../src/contract/blob-info.ts';
import type { ImageSourceChunk } from '../../../src/contract/blob-chunk-accessor.ts';
import { digestOf } from '../../../src/digest/digest.ts';

/** A blob of which no two places are alike for long. */
export function sampleBlob(size: number): Buffer {
  const blob = Buffer.alloc(size);
  for (let index = 0; index < size; index += 1) blob[index] = index * 7 + (index >> 8) * 13;
  return blob;
}

export function infoOf(blob: Buffer): BlobInfo {
  return { digest: digestOf(blob), size: blob.length };
}

/** What the readers must give. */
export function askedBytes(blob: Buffer, chunks: readonly ImageSourceChunk[]): Buffer[] {
  return chunks.map(({ offset, length }) =>
    blob.subarray(offset, length === undefined ? blob.length : offset + length),
  );
}

export interface BodyOptions {
  /** Sizes of the packets, over and over; default one packet. */
  readonly packets?: readonly number[] | undefined;
  /** How many bytes arrive; default all. */
  readonly arriving?: number | undefined;
  /** How the body breaks off after them; default a clean end. */
  readonly failure?: Error | undefined;
}

/** A body that hands out its bytes packet by packet. */
export function bodyOf(bytes: Buffer, { packets = [bytes.length], arriving, failure }: BodyOptions = {}): Readable {
  const available = bytes.subarray(0, arriving);
  let sent = 0;
  let turn = 0;
  return new Readable({
    read(): void {
      const packet = available.subarray(sent, sent + Math.max(1, packets[turn % packets.length] ?? 1));
      sent += packet.length;
      turn += 1;
      if (packet.length > 0) this.push(packet);
      else if (failure === undefined) this.push(null);
      else this.destroy(failure);
    },
  });
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
}

export function respond({ status, headers, bytes }: Answer, options: BodyOptions = {}): HttpResponse {
  return { status, headers, body: bodyOf(bytes, options), url: new URL('http://registry.test/v2/app/blobs/x') };
}

export function wholeAnswer(blob: Buffer): Answer {
  return { status: 200, headers: { 'content-length': String(blob.length) }, bytes: blob };
}

export function singleAnswer(blob: Buffer, { start, end }: ByteRange): Answer {
  const headers = { 'content-range': `bytes ${start}-${end - 1}/${blob.length}` };
  return { status: 206, headers, bytes: blob.subarray(start, end) };
}

export interface MultipartStyle {
  readonly boundary?: string;
  readonly contentType?: string;
  readonly preamble?: string;
  readonly epilogue?: string;
  /** White space after a boundary. */
  readonly padding?: string;
  /** Total in each Content-Range; default the blob's size. */
  readonly total?: number | string;
  /** Added to both ends of each Content-Range. */
  readonly shift?: number;
}

/** A multipart answer, with its text in the places that `isText` tells from content. */
export function multipartAnswer(blob: Buffer, ranges: readonly ByteRange[], style: MultipartStyle = {}): Answer {
  return { ...multipartPieces(blob, ranges, style), bytes: Buffer.concat(multipartPieces(blob, ranges, style).pieces) };
}

/** The same in pieces: text and content by turns, text first and last. */
export function multipartPieces(
  blob: Buffer,
  ranges: readonly ByteRange[],
  style: MultipartStyle = {},
): Omit<Answer, 'bytes'> & { readonly pieces: Buffer[] } {
  const {
    boundary = 'frontier',
    preamble = '',
    epilogue = '\r\n',
    padding = '',
    total = blob.length,
    shift = 0,
  } = style;
  const pieces: Buffer[] = [];
  let lineBreak = preamble === '' ? '' : `${preamble}\r\n`;
  for (const { start, end } of ranges) {
    const range = `bytes ${start + shift}-${end - 1 + shift}/${total}`;
    const header = `Content-Type: application/octet-stream\r\ncontent-range:${range}`;
    pieces.push(Buffer.from(`${lineBreak}--${boundary}${padding}\r\n${header}\r\n\r\n`), blob.subarray(start, end));
    lineBreak = '\r\n';
  }
  pieces.push(Buffer.from(`${lineBreak}--${boundary}--${epilogue}`));
  const contentType = style.contentType ?? `multipart/byteranges; boundary=${boundary}`;
  return { status: 206, headers: { 'content-type': contentType }, pieces };
}

export interface ReadOutcome {
  /** What each reader gave, the one that failed included. */
  readonly read: Buffer[];
  readonly error: unknown;
}

/** Reads all readers until the first failure. */
export async function readAll(readers: AsyncIterable<Readable>): Promise<ReadOutcome> {
  const read: Buffer[][] = [];
  let failure: unknown;
  try {
    for await (const reader of readers) {
      const packets: Buffer[] = [];
      read.push(packets);
      for await (const bytes of reader as AsyncIterable<Buffer>) packets.push(bytes);
    }
  } catch (error) {
    failure = error;
  }
  return { read: read.map((packets) => Buffer.concat(packets)), error: failure };
}
