import type { FileHandle } from 'node:fs/promises';
import { addAbortSignal, type Readable } from 'node:stream';
import { giveBack } from '../io/slabs.ts';

const BATCH_BYTES = 1024 * 1024;

/**
 * Hands a stream's pieces to `write`, one batch after the other: while one is being written, the next gathers, so that a fast stream of
 * small pieces takes few system calls. What came before a failure of the stream, or an abort, is written before that is thrown.
 * At most 2 MiB and one piece are held.
 */
export async function writeInBatches(
  stream: Readable,
  write: (pieces: readonly Uint8Array[]) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  let gathered: Uint8Array[] = [];
  let gatheredBytes = 0;
  let writing = Promise.resolve();
  let isIdle = true;

  const writeGathered = async (): Promise<void> => {
    isIdle = false;
    while (gathered.length > 0) {
      const batch = gathered;
      gathered = [];
      gatheredBytes = 0;
      await write(batch);
      for (const piece of batch) giveBack(piece);
    }
    isIdle = true;
  };

  if (signal !== undefined) addAbortSignal(signal, stream);
  try {
    for await (const piece of stream as AsyncIterable<Uint8Array>) {
      gathered.push(piece);
      gatheredBytes += piece.length;
      if (isIdle) {
        writing = writeGathered();
        writing.catch((error: Error) => stream.destroy(error));
      }
      if (gatheredBytes >= BATCH_BYTES) await writing;
    }
  } finally {
    await writing;
  }
}

/** Writes all bytes at an offset of a file, however many system calls it takes. */
export async function writeFully(handle: FileHandle, chunks: readonly Uint8Array[], offset: number): Promise<void> {
  let rest = chunks;
  let position = offset;
  while (rest.length > 0) {
    const { bytesWritten } = await handle.writev(rest, position);
    position += bytesWritten;
    rest = withoutFirstBytes(rest, bytesWritten);
  }
}

function withoutFirstBytes(chunks: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let skip = count;
  const rest: Uint8Array[] = [];
  for (const chunk of chunks) {
    if (skip < chunk.length) rest.push(chunk.subarray(skip));
    skip = Math.max(0, skip - chunk.length);
  }
  return rest;
}
