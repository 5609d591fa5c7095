import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Digest } from '../../../../src/digest/digest.ts';
import type { ImageSource } from '../../../../src/contract/image-source.ts';
import type { ImageName, Transport } from '../../../../src/transports/transport.ts';

/** A toy like a tape: one image in one file, whose blobs come by once. It is only read. */
export const lineTransport: Transport = {
  prefix: 'line:',
  form: 'line:FILE',
  summary: 'an image in a line',
  completes: 'path',
  parse: (text) => new LineName(text.slice('line:'.length)),
};

class LineName implements ImageName {
  readonly transport = 'line';
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  toString(): string {
    return `line:${this.#path}`;
  }

  pinned(digest: Digest): string {
    return `${String(this)}@${digest}`;
  }

  withDefaultTag(): ImageName {
    return this;
  }

  completedFrom(): ImageName {
    return this;
  }

  async place(): Promise<string> {
    return realpath(this.#path).catch(() => resolve(this.#path));
  }

  async openSource(): Promise<ImageSource> {
    const { LineSource } = await import('./line-source.ts');
    return new LineSource(this.#path);
  }
}
