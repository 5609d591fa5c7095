import type { BlobChunkAccessor } from '../contract/blob-chunk-accessor.ts';
import type { ImageSource } from '../contract/image-source.ts';

/** The source's blobs as parts. Undefined where it gives whole ones alone. */
export function partsOf(source: ImageSource): BlobChunkAccessor | undefined {
  const { getBlobAt, rangeSupport } = source;
  if (getBlobAt === undefined || rangeSupport === undefined) return undefined;
  return { rangeSupport, getBlobAt: getBlobAt.bind(source), getBlob: source.getBlob.bind(source) };
}
