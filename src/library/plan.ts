import type { DryRun, PlannedBlob, PlannedManifest } from '../copy/dry-run.ts';
import type { ImageDestination } from '../contract/image-destination.ts';
import type { ImageSource } from '../contract/image-source.ts';
import { forDestination } from '../errors/imgcopy-error.ts';
import {
  approach,
  imageOptions,
  leftOutOf,
  openDestination,
  openSource,
  prepareRun,
  resolveEnds,
  withOwnTag,
  Tally,
  type CopyJob,
  type Ends,
} from './copy.ts';
import { SEGMENT_BYTES, STRIPED_BLOB } from '../partial/fetch/fetch-ranges.ts';
import { MIN_RANGED_BLOB } from '../partial/plan/plan-blob.ts';
import { SMALL_BLOB } from '../transports/registry/registry-destination.ts';
import type { CopyOptions, CopyResult } from './options.ts';
import { underOwnSignal } from './own-signal.ts';
import type { SharedResources } from './shared-resources.ts';

/** What a copy would do. Sizes are in bytes; what it says in `bytes` and of its blobs is what the result of the copy says. */
export interface CopyPlan extends Omit<CopyResult, 'durationMs' | 'retries' | 'servedFrom' | 'blobs' | 'manifests'> {
  /** Instances first; `tag` and `kept` ones too. */
  readonly manifests: readonly PlannedManifest[];
  /** Each blob once. */
  readonly blobs: readonly PlannedBlob[];
  /** About how many the copy makes; connections and tokens left out. */
  readonly requests: CopyResult['requests'];
  /** How long the bytes take at `limitRate`, in ms; null where there is no limit. */
  readonly leastDurationMs: number | null;
}

/** See Copier.plan. */
export async function planBetween(
  shared: SharedResources,
  from: string | ImageSource,
  to: string | ImageDestination,
  options: CopyOptions,
): Promise<CopyPlan> {
  const tally = new Tally({ ...options, onEvent: withoutEnds(options) });
  return underOwnSignal(options.signal, async (signal) => {
    const job: CopyJob = { shared, options, tally, signal, isDryRun: true };
    const resolved = await resolveEnds(job, from, to);
    await approach(job, resolved.source, [resolved.destination]);
    await using source = await openSource(job, resolved.source, [resolved.destination]);
    const ends = withOwnTag(resolved, source.end);
    return await forDestination(options.destinationId, () => planTo(job, ends, source.end));
  });
}

/** No copy begins or ends. */
function withoutEnds({ onEvent }: CopyOptions): CopyOptions['onEvent'] {
  return onEvent && ((event) => void (event.type !== 'done' && onEvent(event)));
}

async function planTo(job: CopyJob, ends: Ends, source: ImageSource): Promise<CopyPlan> {
  const { shared, options, tally } = job;
  const leftOut = await leftOutOf(job, ends.source);
  await using destination = await openDestination(job, ends, { source, leftOut });
  const { end } = destination;
  const { dryRun, refuseBytes } = await import('../copy/dry-run.ts');
  const dry = await dryRun(prepareRun(job, source, end), imageOptions(options, ends));
  if (options.maxBytes !== undefined) refuseBytes(end.reference, options.maxBytes, dry);
  const { copied, blobs, manifests } = dry;
  const { retries: _retries, servedFrom: _served, blobs: _counts, ...result } = tally.result(copied);
  return {
    source: source.reference,
    destination: end.reference,
    ...result,
    reference: ends.destination.name?.pinned(copied.digest) ?? `${end.reference}@${copied.digest}`,
    manifests,
    blobs,
    requests: requestsOfCopy(tally.requests, dry, source, end),
    leastDurationMs: leastDuration(shared.options.limitRate, result.bytes, blobs, source, end),
  };
}

/** How much one request for stripes brings, on average, in bytes: see docs/architecture.md, "Concurrency". */
const STRIPE_BYTES = 10 * 1024 * 1024;

/**
 * A copy asks what the dry run has asked, and the requests for bytes come on top. In place of a look at an instance's manifest it is put, and in place
 * of a look at a blob it is mounted.
 */
function requestsOfCopy(
  asked: CopyResult['requests'],
  { blobs, manifests }: DryRun,
  source: ImageSource,
  destination: ImageDestination,
): CopyResult['requests'] {
  const sent = blobs.filter(isSent);
  const named = manifests.filter(
    ({ role, outcome }) => role !== 'instance' && outcome !== 'same' && outcome !== 'kept',
  );
  const reads = sum(sent, ({ size, bytesFetched }) => readsOf(size, bytesFetched));
  const pieces = sum(sent, ({ size, ...blob }) => readsOf(size, piecesOf(blob)));
  const uploads = sum(sent, ({ size, bytesResumed }) => (size <= SMALL_BLOB || bytesResumed > 0 ? 2 : 3));
  return {
    source: asked.source + (source.servedFrom === undefined ? 0 : reads),
    destination: asked.destination + (destination.repository === undefined ? 0 : uploads + pieces + named.length),
  };
}

function readsOf(size: number, bytes: number): number {
  if (size < MIN_RANGED_BLOB) return Math.min(bytes, 1);
  return Math.ceil(bytes / (size < STRIPED_BLOB ? SEGMENT_BYTES : STRIPE_BYTES));
}

/** Registries alone are slowed down. Pieces of old blobs are read there, too. */
function leastDuration(
  limitRate: number | undefined,
  bytes: CopyResult['bytes'],
  blobs: readonly PlannedBlob[],
  source: ImageSource,
  destination: ImageDestination,
): number | null {
  if (limitRate === undefined) return null;
  const isRemote = destination.repository !== undefined;
  const down =
    (source.servedFrom === undefined ? 0 : bytes.fetched) + (isRemote ? sum(blobs.filter(isSent), piecesOf) : 0);
  const up = isRemote ? bytes.uploaded : 0;
  return Math.ceil((Math.max(down, up) / limitRate) * 1000);
}

function isSent({ outcome }: PlannedBlob): boolean {
  return outcome === 'copied' || outcome === 'partial';
}

function piecesOf({ bytesReused, bytesResumed }: Pick<PlannedBlob, 'bytesReused' | 'bytesResumed'>): number {
  return bytesReused - bytesResumed;
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
