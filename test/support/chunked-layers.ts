import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import { digestOf } from '../../src/digest/digest.ts';
import type { BlobInfo } from '../../src/contract/blob-info.ts';
import { endOfTar, paddingOf, tarHeader, type LayerFile } from './layer-file.ts';

export type { LayerFile };

/** A layer with a table of contents (TOC). */
export interface ChunkedLayer {
  readonly bytes: Buffer;
  /** As a manifest would describe it, annotations included. */
  readonly info: BlobInfo;
  /** Where the TOC's frame or member begins. */
  readonly tailOffset: number;
}

export interface ChunkedLayerOptions {
  /** Of a file's content, in bytes; default 64 KiB. Storage itself cuts by content. */
  readonly chunkBytes?: number | undefined;
  /** Of the compression. */
  readonly level?: number | undefined;
  /** Changes the TOC before it is written; a string is written as it is. All digests and sizes fit the changed TOC. */
  readonly editToc?: ((toc: TocJson) => unknown) | undefined;
}

export interface TocJson {
  readonly version: number;
  readonly entries: readonly TocEntryJson[];
  readonly tarSplitDigest?: string | undefined;
}

export type TocEntryJson = Readonly<Record<string, unknown>>;

/** Who wrote a zstd:chunked layer; `current` is storage since 1.54. */
export type ZstdChunkedVersion = 'current' | 'version-2' | 'storage-1.47' | 'storage-1.43' | 'stargz-snapshotter';

const NEW_PREFIX = 'io.github.containers.zstd-chunked.';
const OLD_PREFIX = 'io.containers.zstd-chunked.';

const WRITERS = {
  current: { prefix: NEW_PREFIX, footerBytes: 64, toc: 1, tarSplit: true, digest: true },
  'version-2': { prefix: NEW_PREFIX, footerBytes: 64, toc: 2, tarSplit: false, digest: false },
  'storage-1.47': { prefix: NEW_PREFIX, footerBytes: 56, toc: 1, tarSplit: true, digest: false },
  'storage-1.43': { prefix: OLD_PREFIX, footerBytes: 40, toc: 1, tarSplit: false, digest: false },
  'stargz-snapshotter': { prefix: OLD_PREFIX, footerBytes: 40, toc: 1, tarSplit: false, digest: false },
};

/** A zstd:chunked layer. The tail is as its writer makes it, byte for byte; the frames are compressed by Node.js. */
export function zstdChunkedLayer(
  files: readonly LayerFile[],
  options: ChunkedLayerOptions & { readonly version?: ZstdChunkedVersion | undefined } = {},
): ChunkedLayer {
  const { version = 'current', level = 3, editToc = (toc: TocJson): unknown => toc } = options;
  const compress = (bytes: Buffer): Buffer =>
    zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: level } });
  const isStargz = version === 'stargz-snapshotter';
  const { blob, entries } = (isStargz ? memberLayout : frameLayout)(files, compress, options.chunkBytes);
  const writer = WRITERS[version];
  const tarSplit = writer.tarSplit ? compress(tarSplitOf(files)) : undefined;
  const tarSplitDigest = tarSplit !== undefined && writer.digest ? digestOf(tarSplit) : undefined;
  const text = textOf(editToc({ version: writer.toc, entries, tarSplitDigest }));
  const toc = compress(text);
  const position = [blob.length + 8, toc.length, text.length, 1];
  const split = tarSplit === undefined ? undefined : [blob.length + 8 + toc.length + 8, tarSplit.length];
  const bytes = Buffer.concat([
    blob,
    skippable(toc),
    tarSplit === undefined ? Buffer.alloc(0) : skippable(tarSplit),
    skippable(zstdFooter(position, split ?? [], writer.footerBytes)),
  ]);
  return describe(bytes, blob.length, 'application/vnd.oci.image.layer.v1.tar+zstd', {
    [`${writer.prefix}manifest-position`]: position.join(':'),
    [`${writer.prefix}manifest-checksum`]: digestOf(toc),
    ...(isStargz ? { 'containerd.io/snapshot/stargz/toc.digest': digestOf(text) } : {}),
  });
}

/** An eStargz layer, as its writer makes it; the members are compressed by Node.js. */
export function eStargzLayer(files: readonly LayerFile[], options: ChunkedLayerOptions = {}): ChunkedLayer {
  const { level = 6, editToc = (toc: TocJson): unknown => toc } = options;
  const compress = (bytes: Buffer): Buffer => gzipSync(bytes, { level });
  const { blob, entries } = memberLayout(files, compress, options.chunkBytes);
  const text = textOf(editToc({ version: 1, entries }));
  const toc = { name: 'stargz.index.json', content: text };
  const member = compress(Buffer.concat([tarHeader(toc), text, paddingOf(toc), endOfTar]));
  const bytes = Buffer.concat([blob, member, estargzFooter(blob.length)]);
  return describe(bytes, blob.length, 'application/vnd.oci.image.layer.v1.tar+gzip', {
    'containerd.io/snapshot/stargz/toc.digest': digestOf(text),
  });
}

type Compress = (bytes: Buffer) => Buffer;

interface Layout {
  readonly blob: Buffer;
  readonly entries: readonly TocEntryJson[];
}

/** Storage's layout: headers and padding in frames of their own. */
function frameLayout(files: readonly LayerFile[], compress: Compress, chunkBytes?: number): Layout {
  const blob = new Blob();
  const entries: TocEntryJson[] = [];
  let gap: Buffer[] = [];
  for (const file of files) {
    gap.push(tarHeader(file));
    const chunks = chunksOf(file, chunkBytes);
    if (chunks.length === 0) {
      entries.push(metadataOf(file));
      continue;
    }
    blob.append(compress(Buffer.concat(gap)));
    gap = [paddingOf(file)];
    const placed = chunks.map((chunk) => ({ ...chunk, offset: blob.append(compress(chunk.bytes)) }));
    const digest = digestOf(Buffer.concat(chunks.map(({ bytes }) => bytes)));
    for (const [index, { bytes, offset, chunkOffset }] of placed.entries()) {
      const chunked = { chunkSize: bytes.length, chunkDigest: digestOf(bytes) };
      const place = chunks.length === 1 ? { offset } : { offset, ...chunked };
      if (index === 0) entries.push({ ...metadataOf(file), digest, endOffset: blob.length, ...place });
      else entries.push({ type: 'chunk', name: file.name, chunkOffset, ...place });
    }
  }
  blob.append(compress(Buffer.concat([...gap, endOfTar])));
  return { blob: blob.bytes, entries };
}

/** EStargz's layout: a content, its padding and the headers up to the next content in one member. */
function memberLayout(files: readonly LayerFile[], compress: Compress, chunkBytes?: number): Layout {
  const blob = new Blob();
  const entries: TocEntryJson[] = [];
  let member: Buffer[] = [];
  for (const file of files) {
    member.push(tarHeader(file));
    const chunks = chunksOf(file, chunkBytes);
    if (chunks.length === 0) entries.push(metadataOf(file));
    for (const [index, { bytes, chunkOffset }] of chunks.entries()) {
      blob.append(compress(Buffer.concat(member)));
      member = [bytes];
      const place = { offset: blob.length, chunkDigest: digestOf(bytes) };
      const size = index === chunks.length - 1 ? {} : { chunkSize: bytes.length };
      if (index === 0) entries.push({ ...metadataOf(file), ...place, ...size });
      else entries.push({ type: 'chunk', name: file.name, chunkOffset, ...place, ...size });
    }
    member.push(paddingOf(file));
  }
  blob.append(compress(Buffer.concat(member)));
  return { blob: blob.bytes, entries };
}

class Blob {
  readonly #parts: Buffer[] = [];
  length = 0;

  /** @returns where the part begins. */
  append(part: Buffer): number {
    this.#parts.push(part);
    this.length += part.length;
    return this.length - part.length;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

function chunksOf(file: LayerFile, chunkBytes = 64 * 1024): readonly { bytes: Buffer; chunkOffset: number }[] {
  const content = Buffer.from(file.content ?? '');
  return Array.from({ length: Math.ceil(content.length / chunkBytes) }, (_, index) => {
    const chunkOffset = index * chunkBytes;
    return { chunkOffset, bytes: content.subarray(chunkOffset, chunkOffset + chunkBytes) };
  });
}

function metadataOf({ name, type = 'reg', content = '', linkName, mtime = 0, userName }: LayerFile): TocEntryJson {
  const size = Buffer.byteLength(content) || undefined;
  const modtime = new Date(mtime * 1000).toISOString().replace('.000', '');
  return { type, name, linkName, mode: 0o644, size, modtime, userName };
}

function tarSplitOf(files: readonly LayerFile[]): Buffer {
  const records = files.flatMap((file) => [
    { type: 2, payload: tarHeader(file).toString('base64') },
    { type: 1, name: file.name, size: Buffer.byteLength(file.content ?? '') || undefined, payload: 'AAAAAAAAAAA=' },
    { type: 2, payload: paddingOf(file).toString('base64') },
  ]);
  const all = [...records, { type: 2, payload: endOfTar.toString('base64') }];
  return Buffer.from(all.map((record, position) => `${JSON.stringify({ ...record, position })}\n`).join(''));
}

function textOf(toc: unknown): Buffer {
  return Buffer.from(typeof toc === 'string' ? toc : JSON.stringify(toc));
}

function skippable(content: Buffer): Buffer {
  const header = Buffer.from('502a4d1800000000', 'hex');
  header.writeUInt32LE(content.length, 4);
  return Buffer.concat([header, content]);
}

function zstdFooter(position: readonly number[], tarSplit: readonly number[], size: number): Buffer {
  const footer = Buffer.alloc(size);
  const numbers = size === 64 ? [...position, ...tarSplit] : position;
  for (const [index, number] of numbers.entries()) footer.writeBigUInt64LE(BigInt(number), 8 * index);
  footer.write(size === 64 ? 'GNUlInUx' : 'GnUlInUx', size === 64 ? 56 : 32);
  return footer;
}

function estargzFooter(tocOffset: number): Buffer {
  const offset = Buffer.from(`${tocOffset.toString(16).padStart(16, '0')}STARGZ`);
  const start = Buffer.from('1f8b08040000000000ff1a0053471600', 'hex');
  return Buffer.concat([start, offset, Buffer.from('010000ffff0000000000000000', 'hex')]);
}

function describe(
  bytes: Buffer,
  tailOffset: number,
  mediaType: string,
  annotations: Readonly<Record<string, string>>,
): ChunkedLayer {
  return { bytes, tailOffset, info: { mediaType, digest: digestOf(bytes), size: bytes.length, annotations } };
}
