import type { BlobInfoCache } from '../contract/blob-info-cache.ts';

/** A cache that knows nothing and keeps nothing. */
export function noCache(): BlobInfoCache {
  return {
    uncompressedDigest: nothing,
    recordDigestUncompressedPair: nothing,
    compressor: nothing,
    recordCompressor: nothing,
    recordKnownLocation: nothing,
    forgetKnownLocation: nothing,
    candidateLocations2: none,
    recordChunkedBlob: nothing,
    chunkedBlobs: none,
    hostAbility: nothing,
    recordHostAbility: nothing,
    [Symbol.dispose]: nothing,
  };
}

function nothing(): undefined {}

function none(): readonly never[] {
  return [];
}
