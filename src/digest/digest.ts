import { createHash, type Hash } from 'node:crypto';
import { ImgcopyError } from '../errors/imgcopy-error.ts';

/** The hash algorithms that a digest may name. */
export type DigestAlgorithm = 'sha256' | 'sha512';

/** A checked digest, `<algorithm>:<lower-case hex>`: safe in a path and in a URL. */
export type Digest = `${DigestAlgorithm}:${string}`;

const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** Bytes that are not those which their digest or size promised. */
export class ContentMismatchError extends ImgcopyError {
  readonly what: string;
  readonly expected: string;
  readonly found: string;

  constructor(what: string, expected: string, found: string, options: { readonly hint?: string } = {}) {
    super(`${what}: expected ${expected}, found ${found}`, {
      code: 'ERR_CONTENT_MISMATCH',
      kind: 'integrity',
      ...options,
    });
    this.what = what;
    this.expected = expected;
    this.found = found;
  }
}

/** What to do about bytes that are wrong although they were fetched again. */
export const WRONG_BYTES_HINT: string =
  'the copy there is damaged, or a proxy on the way changes it; push the image there again, or copy it from elsewhere';

export function isDigest(text: string): text is Digest {
  return DIGEST.test(text);
}

export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

/** The part of a digest after the colon. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}

export interface ExpectedContent {
  readonly digest: Digest;
  /** In bytes. */
  readonly size?: number | undefined;
}

/** Hashes bytes as they pass and compares them with what was promised. */
export class DigestVerifier {
  readonly #expected: ExpectedContent;
  readonly #hash: Hash;
  #bytes = 0;

  constructor(expected: ExpectedContent) {
    this.#expected = expected;
    this.#hash = createHash(digestAlgorithm(expected.digest));
  }

  /** How many bytes have passed so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @throws ContentMismatchError as soon as there are more bytes than promised. */
  update(chunk: Uint8Array): void {
    this.expectMore(chunk.length);
    this.#bytes += chunk.length;
    this.#hash.update(chunk);
  }

  /** @throws ContentMismatchError when so many more bytes would be more than promised. */
  expectMore(count: number): void {
    const { digest, size } = this.#expected;
    if (size === undefined || this.#bytes + count <= size) return;
    throw new ContentMismatchError(
      `blob ${digest} is longer than its descriptor says`,
      `${size} bytes`,
      `at least ${this.#bytes + count} bytes`,
      { hint: WRONG_BYTES_HINT },
    );
  }

  /**
   * To be called once, after the last byte.
   * @throws ContentMismatchError when size or digest differ.
   */
  finish(): void {
    const { digest, size } = this.#expected;
    if (size !== undefined && this.#bytes !== size) {
      throw new ContentMismatchError(`blob ${digest} has the wrong size`, `${size} bytes`, `${this.#bytes} bytes`, {
        hint: WRONG_BYTES_HINT,
      });
    }
    const found = `${digestAlgorithm(digest)}:${this.#hash.digest('hex')}`;
    if (found !== digest) {
      throw new ContentMismatchError('content does not match its digest', digest, found, { hint: WRONG_BYTES_HINT });
    }
  }
}
