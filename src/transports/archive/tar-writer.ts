import { type Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack } from 'tar-stream';
import type { BlobInfo, WaitOptions } from '../../contract/blob-info.ts';
import { verifiedStream } from '../../digest/verified-stream.ts';
import { giveBack, SLAB_BYTES } from '../../io/slabs.ts';
import { gapOf } from './gap.ts';

/** Writes a tar archive in one pass, to anything. The same members make the same bytes. */
export class TarWriter {
  readonly #pack = pack();
  readonly #written: Promise<void>;

  /** @param output  ended with the archive, or destroyed. */
  constructor(output: Writable, { signal }: WaitOptions = {}) {
    this.#written = pipeline(this.#pack as unknown as NodeJS.ReadableStream, givingBack(output), { signal });
    // Who writes a member, or ends the archive, is told.
    this.#written.catch(() => undefined);
  }

  async addDirectory(name: string): Promise<void> {
    await this.#refuseIfBroken();
    await this.#unlessBroken(this.#entry({ name, type: 'directory', mode: 0o755, size: 0 }));
  }

  async add(name: string, bytes: Buffer): Promise<void> {
    await this.#refuseIfBroken();
    await this.#unlessBroken(this.#entry({ name, size: bytes.length }, bytes));
  }

  /**
   * Adds a blob, verified as it passes.
   * @throws ContentMismatchError, or the error of the stream or the output. The archive is lost then.
   */
  async addBlob(name: string, stream: Readable, { digest, size }: Pick<BlobInfo, 'digest' | 'size'>): Promise<void> {
    await this.#refuseIfBroken();
    await this.#unlessBroken(pipeline(stream, verifiedStream({ digest, size }), this.#openEntry(name, size)));
  }

  /** Leaves room for a member whose bytes are written otherwise: the output gets gaps in their place. */
  async addGap(name: string, size: number): Promise<void> {
    await this.#refuseIfBroken();
    await this.#unlessBroken(pipeline(gaps(size), this.#openEntry(name, size)));
  }

  /** Ends the archive. Resolves when the output has all of it. */
  async end(): Promise<void> {
    await this.#refuseIfBroken();
    this.#pack.finalize();
    await this.#written;
  }

  /** Ends the work on an archive that will not be complete. */
  async destroy(): Promise<void> {
    this.#pack.destroy();
    await this.#written.catch(() => undefined);
  }

  #openEntry(name: string, size: number): Writable {
    return this.#pack.entry({ ...HEADER, name, size }) as unknown as Writable;
  }

  #entry(
    header: { readonly name: string; readonly size: number; readonly type?: 'directory'; readonly mode?: number },
    bytes: Uint8Array = NOTHING,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#pack.entry({ ...HEADER, ...header }, bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** @throws what the output failed with meanwhile. */
  async #refuseIfBroken(): Promise<void> {
    if (this.#pack.destroyed) await this.#written;
  }

  /** An output that fails ends the wait for whatever was to go there. */
  async #unlessBroken(writing: Promise<void>): Promise<void> {
    writing.catch(() => undefined);
    await Promise.race([writing, this.#written.then(() => writing)]);
  }
}

/** What is written goes to the output, and is given back once that has taken it. */
function givingBack(output: Writable): Writable {
  const writable = new Writable({
    highWaterMark: SLAB_BYTES,
    write(bytes: Buffer, _encoding, done) {
      output.write(bytes, (error) => {
        if (!error) giveBack(bytes);
        done(error);
      });
    },
    final: (done) => void output.end(done),
    destroy(error, done) {
      output.destroy(error ?? undefined);
      done(error);
    },
  });
  // A pipe may lose its reader while nothing is written.
  output.on('error', (error) => writable.destroy(error));
  return writable;
}

function* gaps(size: number): Generator<Buffer> {
  for (let rest = size; rest > 0;) {
    const gap = gapOf(rest);
    rest -= gap.length;
    yield gap;
  }
}

const NOTHING = Buffer.alloc(0);
const HEADER = { mtime: new Date(0), mode: 0o644 };
