import type { Transform } from 'node:stream';
import { createGunzip, createZstdDecompress, type Zlib } from 'node:zlib';

type Decoder = Transform & Zlib;

/**
 * Decompresses what is written to it, whatever number of gzip members or zstd frames that is.
 *
 * A decoder of Node.js ends with a zstd frame, and says nothing of the bytes behind it in the same packet (nodejs/node, processCallback in
 * lib/zlib.js), so the next frame gets a new one.
 */
export class Decompressor {
  readonly #create: () => Decoder;
  readonly #onOutput: (bytes: Buffer) => void;
  #decoder: Decoder;
  #isBroken = false;
  /** Ends the wait for the decoder: it has done what it was given, or has failed. */
  #wake: () => void = () => undefined;

  /** @param onOutput  is given what comes out, in order. */
  constructor(compression: 'gzip' | 'zstd', onOutput: (bytes: Buffer) => void) {
    this.#create = compression === 'gzip' ? createGunzip : createZstdDecompress;
    this.#onOutput = onOutput;
    this.#decoder = this.#open();
  }

  /** Resolves when the bytes are decompressed, or proved to be no such stream; of that, `end` tells. */
  async write(bytes: Buffer): Promise<void> {
    let rest = bytes;
    while (rest.length > 0 && !this.#isBroken) {
      const decoder = this.#decoder;
      const before = decoder.bytesWritten;
      await this.#until((done) => decoder.write(rest, done));
      rest = rest.subarray(decoder.bytesWritten - before);
      if (rest.length === 0 || this.#isBroken) return;
      await this.#ended();
      this.#decoder = this.#open();
    }
  }

  /** @returns whether all that was written was such a stream, to its end. */
  async end(): Promise<boolean> {
    if (this.#isBroken) return false;
    this.#decoder.end();
    await this.#ended();
    return !this.#isBroken;
  }

  destroy(): void {
    this.#decoder.destroy();
  }

  #open(): Decoder {
    const decoder = this.#create();
    decoder.on('data', this.#onOutput);
    decoder.on('end', () => this.#wake());
    decoder.on('error', () => {
      this.#isBroken = true;
      this.#wake();
    });
    return decoder;
  }

  async #ended(): Promise<void> {
    if (!this.#decoder.readableEnded && !this.#isBroken) await this.#until(() => undefined);
  }

  #until(begin: (done: () => void) => void): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      begin(resolve);
    });
  }
}
