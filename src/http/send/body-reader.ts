import type { Socket } from 'node:net';
import { giveBack, SLAB_BYTES, takeSlab } from '../../io/slabs.ts';
import { canUseBuffers, useBuffers, type BufferUse } from './user-buffers.ts';

export interface BodyReaderOptions {
  /** Of the body, in bytes. */
  readonly length: number;
  /** How long the server may be silent while bytes are wanted, in ms. */
  readonly idleMs: number;
  /** Whether whoever reads the chunks gives them back. */
  readonly givesBack: boolean;
  /** Takes a chunk, one for each time that `want` is called. */
  readonly onChunk: (chunk: Buffer) => void;
  /** Called when the last chunk was taken. */
  readonly onEnd: () => void;
}

/** So many slabs may wait to be taken; then the server has to wait. */
const MOST_READY = 2;
/** Where bytes go that a server sends beyond its body. */
const surplus = Buffer.alloc(1024);

/**
 * Reads a long body from its connection, after undici has parsed the head and paused: into slabs, each filled by many reads, where undici would copy,
 * parse and hand on every packet. The connection cannot be used again: undici knows nothing of the body.
 */
export class BodyReader {
  readonly #socket: Socket;
  readonly #options: BodyReaderOptions;
  readonly #ready: Buffer[] = [];
  /** What is being filled: no bytes of it were handed on before. */
  #room: Buffer | undefined;
  #filled = 0;
  /** What has not come yet, in bytes. */
  #left: number;
  #use: BufferUse | undefined;
  #isWanted = false;
  #willFlush = false;
  #isOver = false;
  #tellFailure: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, options: BodyReaderOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#left = options.length;
  }

  /** Asks for one more chunk: a full slab, or what has come by the end of a turn. */
  want(): void {
    this.#isWanted = true;
    // Not within a stream's read(): it would join the chunk with the one that it is about to give.
    queueMicrotask(() => this.#give());
  }

  /** The connection is gone. @param tell  called when all that came before was taken; not where that is all of the body. */
  fail(tell: () => void): void {
    clearTimeout(this.#timer);
    if (this.#left === 0) return;
    this.#tellFailure = tell;
    this.#flush();
    this.#give();
  }

  /** Nobody wants the rest. */
  close(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  #give(): void {
    if (!this.#isWanted || this.#isOver) return;
    // The connection may have broken before anybody read.
    if (this.#use === undefined && canUseBuffers(this.#socket)) this.#use = this.#start();
    const chunk = this.#ready.shift();
    if (chunk !== undefined) {
      this.#isWanted = false;
      this.#options.onChunk(chunk);
      if (this.#left === 0 && this.#ready.length === 0) return this.#end();
    } else if (this.#tellFailure !== undefined) {
      this.close();
      return this.#tellFailure();
    } else {
      this.#flushSoon();
    }
    this.#goOn();
  }

  /** What undici has read of the body is in the socket's own buffer. */
  #start(): BufferUse {
    for (
      let early = this.#socket.read() as Buffer | null;
      early !== null;
      early = this.#socket.read() as Buffer | null
    ) {
      const bytes = early.subarray(0, this.#left);
      this.#left -= bytes.length;
      if (bytes.length > 0) this.#ready.push(bytes);
    }
    return useBuffers(this.#socket, { room: () => this.#nextRoom(), onBytes: (count) => this.#add(count) });
  }

  #nextRoom(): Buffer {
    if (this.#left === 0 || this.#isOver) return surplus;
    if (this.#room === undefined || this.#filled === this.#room.length)
      this.#room = this.#options.givesBack ? takeSlab() : Buffer.allocUnsafeSlow(SLAB_BYTES);
    return this.#room.subarray(this.#filled, this.#filled + this.#left);
  }

  /** @returns whether to read on. */
  #add(count: number): boolean {
    if (this.#left === 0 || this.#isOver) return false;
    this.#filled += count;
    this.#left -= count;
    if (this.#filled === this.#room?.length || this.#left === 0) {
      this.#flush();
      if (this.#left === 0 && this.#room !== undefined) giveBack(this.#room);
      this.#give();
    } else if (this.#isWanted) {
      this.#flushSoon();
    }
    const goesOn = this.#left > 0 && this.#ready.length < MOST_READY;
    if (goesOn) this.#timer?.refresh();
    else this.#pause();
    return goesOn;
  }

  #flush(): void {
    if (this.#room === undefined || this.#filled === 0) return;
    this.#ready.push(this.#room.subarray(0, this.#filled));
    // What is read next is on its way into the rest of it.
    this.#room = this.#room.subarray(this.#filled);
    this.#filled = 0;
  }

  /** A chunk is wanted now: it gets what comes in this turn. */
  #flushSoon(): void {
    if (this.#filled === 0 || this.#willFlush) return;
    this.#willFlush = true;
    setImmediate(() => {
      this.#willFlush = false;
      if (!this.#isWanted || this.#isOver) return;
      this.#flush();
      this.#give();
    });
  }

  #goOn(): void {
    if (this.#timer !== undefined || this.#left === 0 || this.#ready.length >= MOST_READY) return;
    if (this.#tellFailure !== undefined) return;
    const { idleMs } = this.#options;
    this.#timer = setTimeout(() => this.#socket.destroy(new SilentError(idleMs)), idleMs);
    this.#use?.goOn();
  }

  #pause(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #end(): void {
    this.close();
    this.#options.onEnd();
  }
}

/** With the code of undici's own. */
class SilentError extends Error {
  readonly code = 'UND_ERR_BODY_TIMEOUT';

  constructor(idleMs: number) {
    super(`no bytes of the body came for ${idleMs} ms`);
  }
}
