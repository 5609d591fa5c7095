import { createHash } from 'node:crypto';
import { digestAlgorithm, type Digest } from '../../digest/digest.ts';
import { UnusableTailError } from './unusable-tail-error.ts';

const CHUNK_BYTES = 64 * 1024;
/** The decoder keeps up to 2 to the power of this many bytes of what came out: the most that an encoder of Go's asks for, at its highest level. */
const MAX_WINDOW_LOG = 25;

/**
 * Decompresses bytes in memory, a chunk at a time, so that a small bomb stays small.
 *
 * @param limit  of what comes out, in bytes.
 * @throws UnusableTailError where the bytes are no such stream, or more than `limit` comes out.
 */
export async function* inflate(bytes: Buffer, compression: 'zstd' | 'gzip', limit: number): AsyncGenerator<Buffer> {
  const { constants, createGunzip, createZstdDecompress } = await import('node:zlib');
  const options = { chunkSize: CHUNK_BYTES };
  const params = { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG };
  const decoder = compression === 'zstd' ? createZstdDecompress({ ...options, params }) : createGunzip(options);
  decoder.end(bytes);
  let total = 0;
  try {
    for await (const chunk of decoder as AsyncIterable<Buffer>) {
      total += chunk.length;
      if (total > limit) throw new UnusableTailError(`it is larger than ${limit} bytes`);
      yield chunk;
    }
  } catch (error) {
    if (error instanceof UnusableTailError) throw error;
    throw new UnusableTailError(`its ${compression} stream is broken`, { cause: error });
  }
}

/** Content that is known by size or digest, where someone has promised them. */
export interface PromisedContent {
  readonly digest: Digest | undefined;
  /** In bytes. */
  readonly size: number | undefined;
}

/**
 * Passes bytes on and compares them, at the end, with what was promised of them.
 *
 * @throws UnusableTailError after the last byte, where they differ.
 */
export async function* asPromised(bytes: AsyncIterable<Buffer>, promised: PromisedContent): AsyncGenerator<Buffer> {
  const { digest, size } = promised;
  const algorithm = digest === undefined ? 'sha256' : digestAlgorithm(digest);
  const hash = createHash(algorithm);
  let total = 0;
  for await (const chunk of bytes) {
    total += chunk.length;
    hash.update(chunk);
    yield chunk;
  }
  if (size !== undefined && size !== total) {
    throw new UnusableTailError(`it should have ${size} bytes and has ${total}`);
  }
  if (digest !== undefined && digest !== `${algorithm}:${hash.digest('hex')}`) {
    throw new UnusableTailError('it does not match its digest');
  }
}
