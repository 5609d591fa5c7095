import type { Digest } from '../../../src/digest/digest.ts';

/** The signed URLs that blob GETs are redirected to. */
export class Redirects {
  readonly #storageUrl: () => string;
  readonly #uses = new Map<string, number>();

  constructor(storageUrl: () => string) {
    this.#storageUrl = storageUrl;
  }

  sign(repository: string, digest: Digest): string {
    const signature = `signature-${this.#uses.size + 1}`;
    this.#uses.set(signature, 0);
    return `${this.#storageUrl()}/storage/${repository}/${digest}?X-Signature=${signature}`;
  }

  /** Notes that a signature is used. @returns how often it was before; undefined for one that was never given out. */
  use(signature: string | undefined): number | undefined {
    const uses = this.#uses.get(signature ?? '');
    if (uses !== undefined) this.#uses.set(signature ?? '', uses + 1);
    return uses;
  }
}
