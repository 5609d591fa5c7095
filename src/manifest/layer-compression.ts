import { MediaType } from './media-types.ts';

export const COMPRESSION_ALGORITHMS = ['uncompressed', 'gzip', 'zstd', 'zstd:chunked', 'estargz'] as const;

/** How a layer is compressed. `zstd:chunked` and `estargz` are variants of zstd and gzip that name their pieces. */
export type CompressionAlgorithm = (typeof COMPRESSION_ALGORITHMS)[number];

/** The variants that carry a table of contents. */
export type ChunkedFormat = Extract<CompressionAlgorithm, 'zstd:chunked' | 'estargz'>;

/** What a layer is to who reads it, and what its media type can say. */
export type BaseCompression = Exclude<CompressionAlgorithm, ChunkedFormat>;

/** The algorithm that a variant names the pieces of; any other algorithm is its own base. */
export function baseCompression(algorithm: CompressionAlgorithm): BaseCompression {
  if (algorithm === 'zstd:chunked') return 'zstd';
  return algorithm === 'estargz' ? 'gzip' : algorithm;
}

/**
 * The media type of a layer whose content stays and whose compression changes.
 *
 * @param original  the media type of the layer that is substituted.
 * @returns undefined where the original's format has no name for it (zstd in schema 2) or the original is no layer.
 */
export function substitutedMediaType(original: string, compression: CompressionAlgorithm): string | undefined {
  const family = LAYER_FAMILIES.find((types) => Object.values(types).includes(original));
  return family?.[baseCompression(compression)];
}

/** How a layer is compressed by its media type; undefined for what is no layer. */
export function compressionOfType(mediaType: string): BaseCompression | undefined {
  const family = LAYER_FAMILIES.find((types) => Object.values(types).includes(mediaType));
  if (family === undefined) return undefined;
  if (mediaType === family.uncompressed) return 'uncompressed';
  return mediaType === family.gzip ? 'gzip' : 'zstd';
}

/** How many bytes tell how a layer is compressed. */
export const MAGIC_BYTES = 4;

/** How a layer is compressed by its first bytes. @param first  at least MAGIC_BYTES. */
export function compressionOfBytes(first: Buffer): BaseCompression {
  if (first[0] === 0x1f && first[1] === 0x8b) return 'gzip';
  const magic = first.readUInt32LE(0);
  return magic === ZSTD_MAGIC || SKIPPABLE_MAGIC.test(magic.toString(16)) ? 'zstd' : 'uncompressed';
}

const ZSTD_MAGIC = 0xfd2fb528;
/** zstd may begin with a frame that holds something else, as pzstd's does. */
const SKIPPABLE_MAGIC = /^184d2a5.$/;

/** Media types that differ in nothing but the compression. */
interface LayerFamily {
  readonly uncompressed: string;
  readonly gzip: string;
  readonly zstd?: string;
}

const LAYER_FAMILIES: readonly LayerFamily[] = [
  { uncompressed: MediaType.ociLayer, gzip: MediaType.ociLayerGzip, zstd: MediaType.ociLayerZstd },
  {
    uncompressed: MediaType.ociForeignLayer,
    gzip: MediaType.ociForeignLayerGzip,
    zstd: MediaType.ociForeignLayerZstd,
  },
  { uncompressed: MediaType.dockerLayer, gzip: MediaType.dockerLayerGzip },
  { uncompressed: MediaType.dockerForeignLayer, gzip: MediaType.dockerForeignLayerGzip },
];
