import { RegistryError } from '../registry-error.ts';

/** A request that carries a blob's bytes, or ends its upload. */
export type UploadRequest = 'PATCH' | 'PUT with body' | 'PUT' | 'GET';

/** What is known of a way to send bytes. */
type Way = 'untried' | 'proven' | 'refused';

/** The limits as they were when a request was sent. */
export interface HeldLimits {
  readonly put: Way;
  readonly patch: Way;
  readonly maxRequestBytes: number | undefined;
}

/** The first size of a request's body after a 413, in bytes; halved down to the least while the answer stays 413. */
const FIRST_CHUNK = 8 * 1024 * 1024;
const LEAST_CHUNK = 256 * 1024;

/** These say nothing of the way: credentials, permission, size, rate. */
const NO_REFUSAL: ReadonlySet<number> = new Set([401, 403, 413, 429]);

/** What a host was seen to refuse in uploads. All copies of a run share it. */
export class UploadLimits {
  #held: HeldLimits = { put: 'untried', patch: 'untried', maxRequestBytes: undefined };

  /** The limits of now: requests that were sent under the same ones and refused together change them once. */
  get held(): HeldLimits {
    return this.#held;
  }

  /** Whether a PUT may carry a whole blob. */
  get takesPut(): boolean {
    return this.#held.put !== 'refused';
  }

  get takesPatch(): boolean {
    return this.#held.patch !== 'refused';
  }

  /** The most bytes that one request may carry, once a larger one met 413. */
  get maxRequestBytes(): number | undefined {
    return this.#held.maxRequestBytes;
  }

  /** Notes that a request was taken. */
  prove(request: UploadRequest): void {
    if (request === 'PATCH') this.#held = { ...this.#held, patch: 'proven' };
    if (request === 'PUT with body') this.#held = { ...this.#held, put: 'proven' };
  }

  /**
   * Notes what a failure says of the host's limits.
   *
   * @param bytes  that the request had to carry; Infinity where that is not known.
   * @returns whether there is another way, to be tried now.
   */
  learn(error: unknown, request: UploadRequest, bytes: number, held: HeldLimits): boolean {
    if (!(error instanceof RegistryError)) return false;
    const { status } = error;
    if (status === 413) return this.#learnSize(bytes, held);
    // Artifactory answers 404 BLOB_UNKNOWN to a PUT with a body, others 400 or 405. @see https://github.com/docker/buildx/issues/196
    const isRefusal = (status >= 400 && status < 500 && !NO_REFUSAL.has(status)) || status === 501;
    if (request === 'PUT with body' && held.put === 'untried' && isRefusal) {
      this.#held = { ...this.#held, put: 'refused' };
      return this.takesPatch;
    }
    if (request === 'PATCH' && held.patch === 'untried' && (status === 405 || status === 501)) {
      this.#held = { ...this.#held, patch: 'refused' };
      return this.takesPut;
    }
    return false;
  }

  #learnSize(bytes: number, held: HeldLimits): boolean {
    if (this.maxRequestBytes !== held.maxRequestBytes) return true;
    const belowSize = 2 ** (Math.ceil(Math.log2(bytes)) - 1);
    const next = held.maxRequestBytes === undefined ? Math.min(FIRST_CHUNK, belowSize) : held.maxRequestBytes / 2;
    if (next < LEAST_CHUNK) return false;
    this.#held = { ...this.#held, maxRequestBytes: next };
    return true;
  }
}
