import { setImmediate as nextTurn } from 'node:timers/promises';

/** What a pipe holds on Linux, in bytes. */
const PIPE_BYTES = 64 * 1024;

let openPipes = 0;

/** Counts a pipe that is read or written as open, until what it returns is disposed of. */
export function countPipe(): Disposable {
  openPipes += 1;
  return {
    [Symbol.dispose]() {
      openPipes -= 1;
    },
  };
}

/**
 * Does work that keeps the thread busy, such as hashing, piece by piece. While a pipe is open, it does as much in one turn of the event loop as a
 * pipe holds: the pipe is read, or filled again, in between, and the program at its other end need not wait for a whole piece. Sockets hold more, and
 * are slower with many turns.
 */
export async function inPipeTurns(pieces: readonly Uint8Array[], work: (part: Uint8Array) => void): Promise<void> {
  for (const piece of pieces) {
    if (openPipes === 0) {
      work(piece);
      continue;
    }
    for (let start = 0; start < piece.length; start += PIPE_BYTES) {
      work(piece.subarray(start, start + PIPE_BYTES));
      await nextTurn();
    }
  }
}
