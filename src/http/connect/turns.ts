import type { Socket } from 'node:net';

export type EndTurn = () => void;

/**
 * Lets a request to a far host go once there is a connection for it. Undici would tie it to a new one, whose handshakes take two round trips, and leave it
 * there while others become free.
 */
export class Turns {
  /** Opens so many connections more. */
  readonly #openMore: (count: number) => void;
  readonly #most: number;
  /** Connections that are open, and that are being opened. */
  #open = 0;
  #opening = 0;
  /** Requests that have had their turn, and are not over. */
  #busy = 0;
  #announced = 0;
  readonly #waiting: (() => void)[] = [];

  /** @param most  connections at most. */
  constructor(most: number, openMore: (count: number) => void) {
    this.#most = most;
    this.#openMore = openMore;
  }

  /** Whether requests wait for a connection. */
  get isWanted(): boolean {
    return this.#waiting.length > 0;
  }

  /** Opens a connection. What is to be ready before a request may use it is done in `then`. */
  async open(opened: Promise<Socket>, then: (socket: Socket | undefined) => void = () => undefined): Promise<Socket> {
    this.#opening += 1;
    try {
      const socket = await opened;
      this.#opening -= 1;
      this.#open += 1;
      socket.once('close', () => {
        this.#open -= 1;
        if (this.isWanted) this.provide();
      });
      then(socket);
      this.#next();
      return socket;
    } catch (error) {
      this.#opening -= 1;
      then(undefined);
      // Whoever is next opens one, and is told what is wrong.
      this.#grant();
      throw error;
    }
  }

  /** Says that a request will come, which has to wait for something else. @returns to be called when it is over. */
  announce(): EndTurn {
    this.#announced += 1;
    return () => (this.#announced -= 1);
  }

  /** @returns to be called when the request is over, and its connection free. */
  begin(): EndTurn {
    this.#busy += 1;
    return () => {
      this.#busy -= 1;
      this.#next();
      // Its connection may never have come to be.
      if (this.isWanted) this.provide();
    };
  }

  /** Waits for a connection. @throws the signal's reason, when it is aborted meanwhile. */
  async wait(signal: AbortSignal | undefined): Promise<EndTurn> {
    if (this.#open > this.#busy) return this.begin();
    const { promise, resolve, reject } = Promise.withResolvers<EndTurn>();
    const go = (): void => {
      signal?.removeEventListener('abort', abort);
      resolve(this.begin());
    };
    const abort = (): void => {
      this.#waiting.splice(this.#waiting.indexOf(go), 1);
      reject(signal?.reason as Error);
    };
    signal?.addEventListener('abort', abort, { once: true });
    this.#waiting.push(go);
    this.provide();
    return await promise;
  }

  /** Opens connections until there is one for each request that is in flight or waits. @param ahead  requests that were announced count up to here. */
  provide(ahead = 0): void {
    const requests = Math.max(this.#busy + this.#waiting.length, Math.min(this.#announced, ahead));
    const missing = Math.min(requests, this.#most) - this.#open - this.#opening;
    if (missing > 0) this.#openMore(missing);
  }

  /** Lets all go that wait: nothing is opened for them any more. */
  grantAll(): void {
    while (this.isWanted) this.#grant();
  }

  #next(): void {
    while (this.#open > this.#busy && this.isWanted) this.#grant();
  }

  #grant(): void {
    this.#waiting.shift()?.();
  }
}
