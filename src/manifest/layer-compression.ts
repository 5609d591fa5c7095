import { MediaType } from './media-types.ts';

/** How a layer is compressed, as far as a media type can be asked for it. */
export type LayerCompression = 'uncompressed' | 'gzip' | 'zstd' | 'zstd:chunked' | 'estargz';

/**
 * The media type of a layer whose content stays and whose compression changes.
 *
 * @param original  the media type of the layer that is substituted.
 * @returns undefined where the original's format has no name for it (zstd in schema 2) or the original is no layer.
 */
export function substitutedMediaType(original: string, compression: LayerCompression): string | undefined {
  const family = LAYER_FAMILIES.find((types) => Object.values(types).includes(original));
  return family?.[BASE_COMPRESSION[compression]];
}

/** How a layer is compressed by its media type; undefined for what is no layer. */
export function compressionOfType(mediaType: string): 'uncompressed' | 'gzip' | 'zstd' | undefined {
  const family = LAYER_FAMILIES.find((types) => Object.values(types).includes(mediaType));
  if (family === undefined) return undefined;
  if (mediaType === family.uncompressed) return 'uncompressed';
  return mediaType === family.gzip ? 'gzip' : 'zstd';
}

// zstd:chunked and eStargz are read by any reader of zstd and gzip, and have no media type of their own.
const BASE_COMPRESSION = {
  uncompressed: 'uncompressed',
  gzip: 'gzip',
  estargz: 'gzip',
  zstd: 'zstd',
  'zstd:chunked': 'zstd',
} as const;

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
