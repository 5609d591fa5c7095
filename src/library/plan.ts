import type { DryRun, PlannedBlob, PlannedManifest } from '../copy/dry-run.ts';
import type { PreparedRun } from '../copy/copy-run.ts';
import type { ImageDestination } from '../contract/image-destination.ts';
import type { ImageSource } from '../contract/image-source.ts';
import { forDestination } from '../errors/imgcopy-error.ts';
import { prepareRun, type CopyJob, type OneCopyOptions } from './copy-job.ts';
import { imageOptions, leftOutOf, refuseMoreBytes } from './copy.ts';
import { eachDestination } from './each-destination.ts';
import { resolveEnds, withOwnTag, type Ends } from './ends.ts';
import { approach, openDestination, openSource } from './open-ends.ts';
import type { CopyOptions, CopyResult } from './options.ts';
import { underOwnSignal } from './own-signal.ts';
import { fetchedBy, leastDuration, requestsToRead, requestsToWrite, slowedBytes, sum } from './plan-costs.ts';
import type { SharedResources } from './shared-resources.ts';
import { Tally } from './tally.ts';

/**
 * What a copy would do. Sizes are in bytes; what it says in `bytes` and of its blobs is what the result of the copy says, with one exception: a registry
 * that declines mounts from the repository itself may be sent up to 32 MiB of small blobs that it has. With `maxBytes` none of these are sent.
 */
export interface CopyPlan extends Omit<CopyResult, 'durationMs' | 'retries' | 'servedFrom' | 'blobs' | 'manifests'> {
  /** Instances first; `tag` and `kept` ones too. */
  readonly manifests: readonly PlannedManifest[];
  /** Each blob once. */
  readonly blobs: readonly PlannedBlob[];
  /** About how many the copy makes; connections and tokens left out. */
  readonly requests: CopyResult['requests'];
  /** How long the bytes take at `limitRate`, in ms; null where there is no limit. */
  readonly leastDurationMs: number | null;
  /** All destinations together, where there are several. */
  readonly together?: PlannedTogether | undefined;
}

/** What a copy to several destinations comes to, those left out that cannot be planned. */
export interface PlannedTogether {
  readonly bytes: {
    /** From the source: what several destinations need comes once. */
    readonly fetched: number;
    readonly uploaded: number;
  };
  readonly requests: CopyResult['requests'];
  readonly leastDurationMs: number | null;
}

/** What would become of one of several destinations: its plan, or why the copy would fail. */
export type PlanOutcome =
  | { readonly destinationId: string; readonly plan: CopyPlan; readonly error?: undefined }
  | { readonly destinationId: string; readonly plan?: undefined; readonly error: Error };

/** See Copier.plan. */
export async function planBetween(
  shared: SharedResources,
  from: string | ImageSource,
  to: string | ImageDestination,
  options: OneCopyOptions,
): Promise<CopyPlan> {
  const tally = new Tally(withoutEnds(options));
  return underOwnSignal(options.signal, async (signal) => {
    const job: CopyJob = { shared, options, tally, signal, isDryRun: true };
    const resolved = await resolveEnds(job, from, to);
    await approach(job, resolved.source, [resolved.destination]);
    await using source = await openSource(job, resolved.source, [resolved.destination]);
    const ends = withOwnTag(resolved, source.end);
    return await forDestination(options.destinationId, async () => {
      const leftOut = await leftOutOf(job, ends.source);
      await using destination = await openDestination(job, ends, { source: source.end, leftOut });
      return describePlan(await planOpen({ job, ends }, prepareRun(job, source.end, destination.end)));
    });
  });
}

/** See Copier.plan. */
export async function planForSeveral(
  shared: SharedResources,
  from: string | ImageSource,
  to: readonly (string | ImageDestination)[],
  options: Omit<CopyOptions, 'destinationId'>,
): Promise<readonly PlanOutcome[]> {
  const ends = { from, to, isDryRun: true };
  const outcomes = await eachDestination(shared, ends, withoutEnds(options), planOpen);
  const planned = outcomes.flatMap((outcome) => (outcome.error === undefined ? [outcome.value] : []));
  const together = planned.length < 2 ? undefined : describeTogether(planned);
  return outcomes.map((outcome) =>
    outcome.error === undefined
      ? { destinationId: outcome.id, plan: describePlan(outcome.value, planned, together) }
      : { destinationId: outcome.id, error: outcome.error },
  );
}

/** No copy begins or ends. */
function withoutEnds<T extends Pick<CopyOptions, 'onEvent'>>(options: T): T {
  const { onEvent } = options;
  return { ...options, onEvent: onEvent && ((event) => void (event.type !== 'done' && onEvent(event))) };
}

/** A dry run, and between what. */
interface Planned {
  readonly job: CopyJob;
  readonly ends: Ends;
  readonly run: PreparedRun;
  readonly dry: DryRun;
}

/** Plans a copy between ends that are open. */
async function planOpen(
  { job, ends }: { readonly job: CopyJob; readonly ends: Ends },
  run: PreparedRun,
): Promise<Planned> {
  const { dryRun } = await import('../copy/dry-run.ts');
  const options = imageOptions(job.options, ends);
  if (job.options.maxBytes !== undefined) await refuseMoreBytes(run, job.options.maxBytes, options);
  return { job, ends, run, dry: await dryRun(run, options) };
}

/** @param all  the dry runs that share what is read of the source. */
function describePlan(one: Planned, all: readonly Planned[] = [one], together?: PlannedTogether): CopyPlan {
  const { job, ends, run, dry } = one;
  const { source, destination } = run;
  const { shared, tally } = job;
  const { retries: _retries, servedFrom: _served, blobs: _counts, ...result } = tally.result(dry.copied);
  const slowed = slowedBytes(source, result.bytes.fetched, [{ destination, dry }]);
  return {
    source: source.reference,
    destination: destination.reference,
    ...result,
    reference: ends.destination.name?.pinned(dry.copied.digest) ?? `${destination.reference}@${dry.copied.digest}`,
    manifests: dry.manifests,
    blobs: dry.blobs,
    requests: {
      source: tally.requests.source + requestsToRead(source, fetchedBy(all.map((planned) => planned.dry))),
      destination: requestsAt(one),
    },
    leastDurationMs: leastDuration(slowed, shared.options.limitRate),
    ...(together !== undefined && { together }),
  };
}

function describeTogether(all: readonly Planned[]): PlannedTogether | undefined {
  const [first] = all;
  if (first === undefined) return undefined;
  const { job, run } = first;
  const fetched = fetchedBy(all.map(({ dry }) => dry));
  const bytes = sum(fetched, (blob) => blob.bytes);
  const slowed = slowedBytes(
    run.source,
    bytes,
    all.map((one) => ({ destination: one.run.destination, dry: one.dry })),
  );
  return {
    bytes: { fetched: bytes, uploaded: sum(all, (one) => one.job.tally.result(one.dry.copied).bytes.uploaded) },
    requests: {
      source: job.tally.requests.source + requestsToRead(run.source, fetched),
      destination: sum(all, requestsAt),
    },
    leastDurationMs: leastDuration(slowed, job.shared.options.limitRate),
  };
}

function requestsAt({ job, run, dry }: Planned): number {
  return job.tally.requests.destination + requestsToWrite(run.destination, dry);
}
