import { addAbortSignal, type Readable } from 'node:stream';

const BATCH_BYTES = 512 * 1024;

/**
 * Hands a stream's pieces to `write`, one batch after the other: while one is being written, the next gathers, so that a fast stream of
 * small pieces takes few system calls. What came before a failure of the stream, or an abort, is written before that is thrown.
 * At most 1 MiB and one piece are held.
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
