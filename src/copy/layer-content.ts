import { createHash, type Hash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { Digest } from '../digest/digest.ts';
import { type BaseCompression, compressionOfBytes, MAGIC_BYTES } from '../manifest/layer-compression.ts';
import { Decompressor } from './decompressor.ts';

/** What was learnt of a layer while it passed. */
export interface LayerContent {
  readonly compression: BaseCompression;
  /** Of the uncompressed content. */
  readonly diffId: Digest;
}

/**
 * Passes a layer's bytes on, and decompresses and hashes them meanwhile.
 * @param learnt  told at the stream's end, unless the layer cannot be decompressed. Whether the bytes are the right ones is not known then.
 */
export async function* learningContent(
  layer: Readable,
  learnt: (content: LayerContent) => void,
): AsyncGenerator<Buffer> {
  let content: ContentHash | undefined;
  let head: Buffer = Buffer.alloc(0);
  try {
    for await (const bytes of layer as AsyncIterable<Buffer>) {
      if (content !== undefined) await content.add(bytes);
      else {
        head = Buffer.concat([head, bytes]);
        if (head.length >= MAGIC_BYTES) {
          content = new ContentHash(head);
          await content.add(head);
        }
      }
      yield bytes;
    }
    const diffId = await content?.finish();
    if (content !== undefined && diffId !== undefined) learnt({ compression: content.compression, diffId });
  } finally {
    content?.destroy();
  }
}

/** Hashes what a layer holds, whichever way it is compressed. */
class ContentHash {
  readonly compression: BaseCompression;
  readonly #hash: Hash = createHash('sha256');
  readonly #decompressor: Decompressor | undefined;

  /** @param first  the layer's first bytes, MAGIC_BYTES at least. */
  constructor(first: Buffer) {
    const compression = compressionOfBytes(first);
    this.compression = compression;
    this.#decompressor =
      compression === 'uncompressed' ? undefined : new Decompressor(compression, (bytes) => this.#hash.update(bytes));
  }

  async add(bytes: Buffer): Promise<void> {
    if (this.#decompressor === undefined) this.#hash.update(bytes);
    else await this.#decompressor.write(bytes);
  }

  /** @returns undefined for what cannot be decompressed. */
  async finish(): Promise<Digest | undefined> {
    if (this.#decompressor !== undefined && !(await this.#decompressor.end())) return undefined;
    return `sha256:${this.#hash.digest('hex')}`;
  }

  destroy(): void {
    this.#decompressor?.destroy();
  }
}
