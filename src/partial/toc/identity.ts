import { createHash } from 'node:crypto';

/** An identity for a piece of which one knows its parts, in order. */
export class PieceIdentity {
  readonly #kind: string;
  readonly #hash = createHash('sha256');

  /** @param kind  keeps pieces apart that are written in different ways. */
  constructor(kind: string) {
    this.#kind = kind;
  }

  add(part: string | number): void {
    this.#hash.update(`${part}\n`);
  }

  finish(): string {
    return `${this.#kind} ${this.#hash.digest('hex')}`;
  }
}
