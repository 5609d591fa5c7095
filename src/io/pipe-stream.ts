import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { countPipe } from './pipe-turns.ts';
import { giveBack, takeSlab } from './slabs.ts';

/** How long who waits for bytes waits at most for a slab to be filled once some have come, in ms. */
const FILL_MS = 1;

/**
 * Reads a pipe or a socket into slabs, to be given back. A pipe gives 64 KiB at a time at most: a slab is filled by several reads, and handed
 * on as it is where that takes too long. One is filled ahead of who reads.
 */
export class PipeStream extends Readable {
  readonly #socket: Socket;
  readonly #counted = countPipe();
  /** A full slab that nobody has asked for yet. */
  #ready: Buffer | undefined;
  /** What is being filled: no bytes of it were handed on before. */
  #room = takeSlab();
  #filled = 0;
  #isWanted = false;
  #waiting: NodeJS.Timeout | undefined;

  /** @param fd  is made one that does not wait, and closed with the stream, standard input excepted. */
  constructor(fd: number) {
    // One slab at a time: a stream of bytes joins those that it gives at once.
    super({ objectMode: true, highWaterMark: 1 });
    const onread = { buffer: () => this.#room.subarray(this.#filled), callback: (count: number) => this.#add(count) };
    this.#socket = new Socket({ fd, readable: true, writable: false, onread });
    this.#socket.on('end', () => this.#end());
    this.#socket.on('error', (error) => this.destroy(error));
  }

  override _read(): void {
    this.#isWanted = true;
    const chunk = this.#ready;
    this.#ready = undefined;
    if (chunk === undefined) this.#giveSoon();
    else this.#give(chunk);
    // Reads on where it was told not to.
    this.#socket.read(0);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#waiting);
    this.#socket.destroy();
    this.#counted[Symbol.dispose]();
    done(error);
  }

  /** Node.js asks for the room of the next read at once, though it be told not to read on. @returns whether to read on. */
  #add(count: number): boolean {
    this.#filled += count;
    if (this.#filled < this.#room.length) {
      this.#giveSoon();
      return true;
    }
    const chunk = this.#takeFilled();
    this.#room = takeSlab();
    if (this.#isWanted) {
      this.#give(chunk);
      return true;
    }
    this.#ready = chunk;
    return false;
  }

  /** What is read next is on its way into the rest of the room. */
  #takeFilled(): Buffer {
    const chunk = this.#room.subarray(0, this.#filled);
    this.#room = this.#room.subarray(this.#filled);
    this.#filled = 0;
    return chunk;
  }

  #give(chunk: Buffer): void {
    this.#isWanted = false;
    clearTimeout(this.#waiting);
    this.#waiting = undefined;
    this.push(chunk);
  }

  /** Somebody waits: gives what has come by then. */
  #giveSoon(): void {
    if (!this.#isWanted || this.#filled === 0 || this.#waiting !== undefined) return;
    this.#waiting = setTimeout(() => {
      this.#waiting = undefined;
      if (this.#isWanted && this.#filled > 0) this.#give(this.#takeFilled());
    }, FILL_MS);
  }

  #end(): void {
    if (this.#ready !== undefined) this.push(this.#ready);
    if (this.#filled > 0) this.push(this.#takeFilled());
    giveBack(this.#room);
    this.push(null);
  }
}
