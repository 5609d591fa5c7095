import type { BlobRange } from '../contract/blob-chunk-accessor.ts';
import type { ImageDestination } from '../contract/image-destination.ts';
import type { ImageSource } from '../contract/image-source.ts';
import { unionOf } from '../copy/blob-ranges.ts';
import { bytesUploaded } from '../copy/blob-to-copy.ts';
import type { DryRun, PlannedBlob } from '../copy/dry-run.ts';
import type { Digest } from '../digest/digest.ts';
import { SEGMENT_BYTES, STRIPED_BLOB } from '../partial/fetch/fetch-ranges.ts';
import { MIN_RANGED_BLOB } from '../partial/plan/plan-blob.ts';
import { SMALL_BLOB } from '../transports/registry/registry-destination.ts';

/** How much one request for stripes brings, on average, in bytes: see docs/architecture.md, "Concurrency". */
const STRIPE_BYTES = 10 * 1024 * 1024;

/** A blob of which bytes come from the source. */
export interface FetchedBlob {
  /** In bytes, as is the other. */
  readonly size: number;
  readonly bytes: number;
}

/** What destinations get of the source, once for all of them. */
export function fetchedBy(dry: readonly DryRun[]): readonly FetchedBlob[] {
  const wanted = new Map<Digest, { readonly size: number; readonly ranges: BlobRange[] }>();
  for (const { blobs, fetched } of dry) {
    for (const { digest, size } of blobs) {
      const ranges = fetched.get(digest) ?? [];
      const before = wanted.get(digest);
      if (before === undefined) wanted.set(digest, { size, ranges: [...ranges] });
      else before.ranges.push(...ranges);
    }
  }
  return [...wanted.values()].map(({ size, ranges }) => ({
    size,
    bytes: sum(unionOf(ranges), ({ length }) => length),
  }));
}

/** About how many requests read these from a source. */
export function requestsToRead(source: ImageSource, fetched: readonly FetchedBlob[]): number {
  return source.servedFrom === undefined ? 0 : sum(fetched, ({ size, bytes }) => readsOf(size, bytes));
}

/**
 * About how many requests a copy makes to its destination that its dry run has not made: those for bytes. In place of a look at an instance's manifest it
 * is put, and in place of a look at a blob it is mounted.
 */
export function requestsToWrite(destination: ImageDestination, { blobs, manifests }: DryRun): number {
  if (destination.repository === undefined) return 0;
  const sent = blobs.filter(isSent);
  const named = manifests.filter(
    ({ role, outcome }) => role !== 'instance' && outcome !== 'same' && outcome !== 'kept',
  );
  const pieces = sum(sent, ({ size, ...blob }) => readsOf(size, piecesOf(blob)));
  const uploads = sum(sent, ({ size, bytesResumed }) => (size <= SMALL_BLOB || bytesResumed > 0 ? 2 : 3));
  return uploads + pieces + named.length;
}

function readsOf(size: number, bytes: number): number {
  if (size < MIN_RANGED_BLOB) return Math.min(bytes, 1);
  return Math.ceil(bytes / (size < STRIPED_BLOB ? SEGMENT_BYTES : STRIPE_BYTES));
}

/** What a copy moves through connections that a rate slows down, in bytes. */
export interface SlowedBytes {
  readonly down: number;
  readonly up: number;
}

/** Registries alone are slowed down. Pieces of old blobs are read there, too. */
export function slowedBytes(
  source: ImageSource,
  fetched: number,
  destinations: readonly { readonly destination: ImageDestination; readonly dry: DryRun }[],
): SlowedBytes {
  const remote = destinations.filter(({ destination }) => destination.repository !== undefined);
  const pieces = sum(remote, ({ dry }) => sum(dry.blobs.filter(isSent), piecesOf));
  return {
    down: (source.servedFrom === undefined ? 0 : fetched) + pieces,
    up: sum(remote, ({ dry }) => sum(dry.copied.blobs, bytesUploaded)),
  };
}

/** How long that takes at least, in ms. @param rate  bytes a second, each way; undefined: no limit. */
export function leastDuration({ down, up }: SlowedBytes, rate: number | undefined): number | null {
  return rate === undefined ? null : Math.ceil((Math.max(down, up) / rate) * 1000);
}

function isSent({ outcome }: PlannedBlob): boolean {
  return outcome === 'copied' || outcome === 'partial';
}

function piecesOf({ bytesReused, bytesResumed }: Pick<PlannedBlob, 'bytesReused' | 'bytesResumed'>): number {
  return bytesReused - bytesResumed;
}

/** The sum of what something is for each item. */
export function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
