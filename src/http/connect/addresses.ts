import { lookup } from 'node:dns';
import type { LookupFunction } from 'node:net';

type Found = Parameters<Parameters<LookupFunction>[2]>;

/** An answer is used again for so long, in ms: that is for connections that are opened together. */
const KEPT_MS = 5_000;

/**
 * Looks up the addresses of hosts, once for all connections that are opened together: each lookup reads files of the system in a thread, and may ask a
 * name server.
 */
export class Addresses {
  readonly #look: LookupFunction;
  readonly #now: () => number;
  readonly #known = new Map<string, { readonly found: Promise<Found>; readonly until: number }>();

  /** @param look  replaced in tests, as is the clock. */
  constructor(look: LookupFunction = lookup, now: () => number = () => performance.now()) {
    this.#look = look;
    this.#now = now;
  }

  /** As `node:net` wants it; always with the same options. */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    let known = this.#known.get(hostname);
    if (known === undefined || known.until < this.#now()) {
      const found = new Promise<Found>((resolve) => this.#look(hostname, options, (...answer) => resolve(answer)));
      known = { found, until: this.#now() + KEPT_MS };
      this.#known.set(hostname, known);
    }
    void known.found.then((found) => {
      if (found[0] !== null) this.forget(hostname);
      callback(...found);
    });
  };

  /** To be called where a host is not reached: it may have moved. */
  forget(hostname: string): void {
    this.#known.delete(hostname);
  }
}
