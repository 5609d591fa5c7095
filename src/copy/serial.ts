import { Semaphore, type AcquireOptions, type Keep, type Pool } from '../io/semaphore.ts';
import type { ImageSource } from '../contract/image-source.ts';
import type { PreparedRun } from './copy-run.ts';

/**
 * Whether a side of a copy is a stream that goes by once: then blobs and manifests move one at a time, in the order that the manifests name them, and
 * nothing is asked for before its turn, or again once its bytes have moved.
 */
export function isSerial({ source, destination }: Pick<PreparedRun, 'source' | 'destination'>): boolean {
  return isSerialSource(source) || destination.concurrency === 'serial';
}

export function isSerialSource({ concurrency }: ImageSource): boolean {
  return concurrency === 'serial';
}

/** Whether blobs and manifests move one at a time: an end of this copy is a stream, or of another copy that is fed by the same read. */
export function isInTurn(run: Pick<PreparedRun, 'source' | 'destination' | 'sharing'>): boolean {
  return isSerial(run) || run.sharing?.isInTurn === true;
}

/** A pool for one copy, which takes one of its places at a time, in the order asked. Other copies have the other places. */
export class SerialPool implements Pool {
  readonly #pool: Pool;
  readonly #turns = new Semaphore(1);

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  get capacity(): number {
    return this.#pool.capacity;
  }

  resize(capacity: number): void {
    this.#pool.resize(capacity);
  }

  async acquire(options: AcquireOptions = {}): Promise<Keep> {
    const endTurn = await this.#turns.acquire({ signal: options.signal });
    try {
      const release = await this.#pool.acquire(options);
      return (rest = 0) => {
        release(rest);
        if (rest === 0) endTurn();
      };
    } catch (error) {
      endTurn();
      throw error;
    }
  }
}
