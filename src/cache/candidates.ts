import type { Digest } from '../digest/digest.ts';
import { baseCompression, type CompressionAlgorithm } from '../manifest/layer-compression.ts';
import type { CandidateOptions, KnownLocation, ReuseCandidate } from '../contract/blob-info-cache.ts';

/** What the choice of candidates is made from. */
export interface CandidateFacts {
  uncompressedDigest(anyDigest: Digest): Digest | undefined;
  /** Blobs whose uncompressed digest this is. */
  compressedForms(uncompressed: Digest): readonly Digest[];
  compressor(digest: Digest): CompressionAlgorithm | undefined;
  /** Where a blob was seen on the registry in question, newest first. */
  sightings(digest: Digest): readonly Sighting[];
}

/** A blob seen in a place. */
export interface Sighting {
  readonly location: KnownLocation;
  /** Milliseconds since 1970. */
  readonly seenAt: number;
}

const MAX_CANDIDATES = 5;
const MAX_WITHOUT_LOCATION = 2;

/**
 * Chooses where to try for a blob, by the rules of containers/image: the blob itself first, then its other compressions, newest
 * first, its uncompressed form last, and after all of them those whose location is not known.
 *
 * @see https://github.com/containers/image/blob/main/pkg/blobinfocache/internal/prioritize/prioritize.go
 */
export function candidateLocations(
  facts: CandidateFacts,
  digest: Digest,
  { canSubstitute, acceptable }: CandidateOptions,
): readonly ReuseCandidate[] {
  const compression = facts.compressor(digest);
  const located: ReuseCandidate[] = facts
    .sightings(digest)
    .map(({ location }) => ({ digest, location, compression: nameable(compression, acceptable) ?? compression }));
  if (!canSubstitute) return located.slice(0, MAX_CANDIDATES);

  const substitutes = substitutesFor(facts, digest, acceptable);
  located.push(...substitutes.filter(({ location }) => location !== undefined));
  const found = located.slice(0, MAX_CANDIDATES);
  const room = Math.min(MAX_CANDIDATES - found.length, MAX_WITHOUT_LOCATION);
  return [...found, ...substitutes.filter(({ location }) => location === undefined).slice(0, room)];
}

/** The same content in other compressions, newest first and the uncompressed form last, each place an entry. */
function substitutesFor(
  facts: CandidateFacts,
  digest: Digest,
  acceptable: CandidateOptions['acceptable'],
): readonly ReuseCandidate[] {
  const uncompressed = facts.uncompressedDigest(digest);
  if (uncompressed === undefined) return [];

  const forms = new Set([...facts.compressedForms(uncompressed), uncompressed]);
  forms.delete(digest);
  const dated: DatedCandidate[] = [];
  for (const form of forms) {
    const compression = nameable(facts.compressor(form), acceptable);
    if (compression === undefined) continue;
    const sightings = facts.sightings(form);
    for (const { location, seenAt } of sightings.length > 0 ? sightings : [NOWHERE]) {
      dated.push({ candidate: { digest: form, location, compression }, seenAt, isUncompressed: form === uncompressed });
    }
  }
  return dated.toSorted(byPreference).map(({ candidate }) => candidate);
}

interface DatedCandidate {
  readonly candidate: ReuseCandidate;
  readonly seenAt: number;
  readonly isUncompressed: boolean;
}

const NOWHERE = { location: undefined, seenAt: 0 } as const;

function byPreference(a: DatedCandidate, b: DatedCandidate): number {
  if (a.isUncompressed !== b.isUncompressed) return a.isUncompressed ? 1 : -1;
  if (a.seenAt !== b.seenAt) return b.seenAt - a.seenAt;
  if (a.candidate.digest === b.candidate.digest) return 0;
  return a.candidate.digest < b.candidate.digest ? -1 : 1;
}

/** What a manifest can call a compression: by itself, else by its base; undefined when unknown or by neither. */
function nameable(
  compression: CompressionAlgorithm | undefined,
  acceptable: CandidateOptions['acceptable'],
): CompressionAlgorithm | undefined {
  if (compression === undefined || acceptable === undefined) return compression;
  return [compression, baseCompression(compression)].find((name) => acceptable.includes(name));
}
