import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import type { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import type { Digest } from '../digest/digest.ts';
import type { CompressionAlgorithm } from '../types/blob-info-cache.ts';

/** What was learnt of a layer while it passed. */
export interface LayerContent {
  readonly compression: CompressionAlgorithm;
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
  try {
    for await (const bytes of layer as AsyncIterable<Buffer>) {
      content ??= new ContentHash(bytes);
      await content.add(bytes);
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
  readonly compression: CompressionAlgorithm;
  readonly #hash: Hash = createHash('sha256');
  readonly #decompressor: Transform | undefined;
  /** Undefined for what cannot be decompressed. */
  readonly #digest: Promise<Digest | undefined>;

  /** @param first  the layer's first bytes, which tell how it is compressed. */
  constructor(first: Buffer) {
    this.compression = compressionOf(first);
    this.#decompressor =
      this.compression === 'gzip' ? createGunzip() : this.compression === 'zstd' ? createZstdDecompress() : undefined;
    this.#digest = this.#decompressor === undefined ? Promise.resolve(undefined) : this.#hashOutput(this.#decompressor);
  }

  async add(bytes: Buffer): Promise<void> {
    if (this.#decompressor === undefined) this.#hash.update(bytes);
    else if (!this.#decompressor.destroyed && !this.#decompressor.write(bytes)) {
      await Promise.race([once(this.#decompressor, 'drain').catch(() => undefined), this.#digest]);
    }
  }

  async finish(): Promise<Digest | undefined> {
    if (this.#decompressor === undefined) return `sha256:${this.#hash.digest('hex')}`;
    if (!this.#decompressor.destroyed) this.#decompressor.end();
    return this.#digest;
  }

  destroy(): void {
    this.#decompressor?.destroy();
  }

  async #hashOutput(decompressor: Transform): Promise<Digest | undefined> {
    const update = async (output: AsyncIterable<Buffer>): Promise<void> => {
      for await (const bytes of output) this.#hash.update(bytes);
    };
    return pipeline(decompressor, update).then(
      (): Digest => `sha256:${this.#hash.digest('hex')}`,
      () => undefined,
    );
  }
}

function compressionOf(first: Buffer): CompressionAlgorithm {
  if (first[0] === 0x1f && first[1] === 0x8b) return 'gzip';
  return first.length >= 4 && first.readUInt32LE(0) === ZSTD_MAGIC ? 'zstd' : 'uncompressed';
}

const ZSTD_MAGIC = 0xfd2fb528;
