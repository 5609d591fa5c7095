import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import { openRegularFile, streamRange } from '../../local/regular-file.ts';
import { ContentMismatchError, type Digest, DigestVerifier } from '../../digest/digest.ts';
import { ImgcopyError, systemErrorCode } from '../../errors/imgcopy-error.ts';
import type { BlobChunkAccessor, ImageSourceChunk } from '../../contract/blob-chunk-accessor.ts';
import type { BlobInfo } from '../../contract/blob-info.ts';
import { checkChunks } from '../../contract/check-chunks.ts';
import { blobFileName } from './layout.ts';

/**
 * Streams a blob of a directory from its first byte on, unverified.
 * @throws ImgcopyError ERR_BLOB_NOT_FOUND, or ContentMismatchError when the file has not the blob's size.
 */
export async function streamBlob(directory: string, info: BlobInfo, signal?: AbortSignal): Promise<Readable> {
  signal?.throwIfAborted();
  const handle = await openBlob(directory, info);
  const stream = streamRange(handle, { start: 0, end: info.size }, join(directory, blobFileName(info.digest)));
  stream.once('close', () => void handle.close());
  return signal === undefined ? stream : addAbortSignal(signal, stream);
}

/**
 * Reads parts of the blobs of a directory.
 * @throws (from the first step of the loop) ImgcopyError ERR_INVALID_CHUNKS, ERR_BLOB_NOT_FOUND, or ContentMismatchError when the file
 *   has not the blob's size.
 */
export function dirBlobAccessor(directory: string): BlobChunkAccessor {
  return {
    rangeSupport: { isLocal: true, ranges: true, multiRange: true },
    getBlobAt: (info, chunks, options) => readChunks(directory, info, chunks, options?.signal),
  };
}

async function* readChunks(
  directory: string,
  info: BlobInfo,
  chunks: readonly ImageSourceChunk[],
  signal: AbortSignal | undefined,
): AsyncGenerator<Readable> {
  checkChunks(chunks, info.size);
  signal?.throwIfAborted();
  await using handle = await openBlob(directory, info);
  for (const { offset, length } of chunks) {
    const end = length === undefined ? info.size : offset + length;
    const reader = streamRange(handle, { start: offset, end }, join(directory, blobFileName(info.digest)));
    try {
      yield signal === undefined ? reader : addAbortSignal(signal, reader);
    } finally {
      reader.destroy();
    }
  }
}

/** Whether the content of a blob that is there is what its digest says. */
export async function isVerified(directory: string, info: BlobInfo, signal?: AbortSignal): Promise<boolean> {
  const verifier = new DigestVerifier(info);
  const stream = await streamBlob(directory, info, signal);
  for await (const piece of stream as AsyncIterable<Buffer>) verifier.update(piece);
  try {
    verifier.finish();
    return true;
  } catch (error) {
    if (error instanceof ContentMismatchError) return false;
    throw error;
  }
}

/**
 * The size of a blob's file, in bytes.
 * @throws ImgcopyError ERR_BLOB_NOT_FOUND
 */
export async function blobSize(directory: string, digest: Digest): Promise<number> {
  await using handle = await openBlobFile(directory, digest);
  return (await handle.stat()).size;
}

async function openBlob(directory: string, { digest, size }: BlobInfo): Promise<FileHandle> {
  const handle = await openBlobFile(directory, digest);
  const { size: found } = await handle.stat();
  if (found === size) return handle;
  await handle.close();
  throw new ContentMismatchError(
    `file ${join(directory, blobFileName(digest))} has the wrong size`,
    `${size} bytes`,
    `${found} bytes`,
  );
}

async function openBlobFile(directory: string, digest: Digest): Promise<FileHandle> {
  const path = join(directory, blobFileName(digest));
  try {
    return await openRegularFile(path);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    throw new ImgcopyError(`the image in dir:${directory} lacks blob ${digest}: there is no file ${path}`, {
      code: 'ERR_BLOB_NOT_FOUND',
      kind: 'not-found',
      hint: 'the directory is not complete; copy the image there again',
      cause: error,
    });
  }
}
