import type { Digest } from '../digest/digest.ts';
import type { ChunkedFormat, CompressionAlgorithm } from '../manifest/layer-compression.ts';

/** A place where a blob was seen. */
export interface KnownLocation {
  readonly registry: string;
  readonly repository: string;
}

/** A blob that may stand in for the one wanted. */
export interface ReuseCandidate {
  readonly digest: Digest;
  /** Undefined when only the relation of the digests is known: to be tried in the destination's own repository. */
  readonly location: KnownLocation | undefined;
  readonly compression: CompressionAlgorithm | undefined;
}

export interface CandidateOptions {
  /** Whether blobs of the same uncompressed content in another compression count. */
  readonly canSubstitute: boolean;
  /**
   * Compressions that the manifest can name. A variant counts as its base where only that can be named; substitutes in any other are
   * dropped, the blob itself never is. Undefined: any.
   */
  readonly acceptable?: readonly CompressionAlgorithm[] | undefined;
}

/** A blob that carries a table of contents. */
export interface ChunkedBlob {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  readonly format: ChunkedFormat;
}

/** Something a host was seen to do or not to do, by name, e.g. `multi-range`, `self-mount`. */
export type HostAbility = 'multi-range' | 'ranges' | 'self-mount' | 'tags-at-once';

/**
 * Facts that help later copies: a hint, never the truth. Only what was verified on this machine is recorded. No method throws, and none
 * waits longer than 50 ms. Facts are stored in batches, the last of them when the cache is disposed of; they can be read back at once.
 * @see https://pkg.go.dev/go.podman.io/image/v5/types#BlobInfoCache
 */
export interface BlobInfoCache extends Disposable {
  /** The digest of the uncompressed content of a blob, which may be the blob itself; undefined when unknown. */
  uncompressedDigest(anyDigest: Digest): Digest | undefined;
  recordDigestUncompressedPair(anyDigest: Digest, uncompressed: Digest): void;
  /** How a blob is compressed; undefined when unknown. */
  compressor(digest: Digest): CompressionAlgorithm | undefined;
  /** A variant that is known stays when its base is recorded. */
  recordCompressor(digest: Digest, algorithm: CompressionAlgorithm): void;
  recordKnownLocation(digest: Digest, location: KnownLocation): void;
  /** To be called when a blob was not where the cache said. */
  forgetKnownLocation(digest: Digest, location: KnownLocation): void;
  /**
   * Where to try on one registry, best first; at most five, of which at most two without a location. The blob itself comes first, newest
   * sighting first, and only where its location is known; then substitutes of a known compression by the same order, the uncompressed
   * one last; then those without a location.
   */
  candidateLocations2(registry: string, digest: Digest, options: CandidateOptions): readonly ReuseCandidate[];
  recordChunkedBlob(blob: ChunkedBlob): void;
  /** Blobs with a table of contents in a repository, newest first. */
  chunkedBlobs(location: KnownLocation, limit: number): readonly ChunkedBlob[];
  /** What a host was seen to do; undefined when unknown or too long ago. */
  hostAbility(host: string, ability: HostAbility): number | undefined;
  /** @param value  1 for can, 0 for cannot. */
  recordHostAbility(host: string, ability: HostAbility, value: number): void;
}
