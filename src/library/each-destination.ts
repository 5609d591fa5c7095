import type { LeftOutBlobs } from '../contract/blob-info.ts';
import type { ImageDestination } from '../contract/image-destination.ts';
import type { ImageSource } from '../contract/image-source.ts';
import type { PreparedRun } from '../copy/copy-run.ts';
import { isSerial } from '../copy/serial.ts';
import { SharedReads, type SharingCopy } from '../copy/shared-reads.ts';
import { forDestination, ImgcopyError } from '../errors/imgcopy-error.ts';
import { prepareRun, type CopyJob } from './copy-job.ts';
import { leftOutOf } from './copy.ts';
import { isSamePlace, resolveDestination, resolveSource, withOwnTag, type End, type Ends } from './ends.ts';
import { approach, finishSource, openDestination, openSource, type OpenEnd } from './open-ends.ts';
import type { CopyOptions } from './options.ts';
import { underOwnSignal } from './own-signal.ts';
import { refuseSecretForSeveral } from './secret-for-one.ts';
import { DEFAULT_TIMEOUT_MS, type SharedResources } from './shared-resources.ts';
import { Tally } from './tally.ts';

/** One of several destinations that are fed by one source. */
export interface Branch {
  /** Its `destinationId`. */
  readonly id: string;
  readonly job: CopyJob;
  readonly ends: Ends;
}

/** What became of one of several destinations. */
export type BranchOutcome<T> =
  | { readonly id: string; readonly value: T; readonly error?: undefined }
  | { readonly id: string; readonly error: Error };

/** What is done for each destination, while all of them are open. */
export type BranchWork<T> = (branch: Branch, run: PreparedRun, leftOut: LeftOutBlobs | undefined) => Promise<T>;

export interface SeveralEnds {
  readonly from: string | ImageSource;
  readonly to: readonly (string | ImageDestination)[];
  /** Whether the destinations are only asked. */
  readonly isDryRun: boolean;
}

/**
 * Opens all ends, and does something for each destination; what is read of the source is shared. One that fails does not stop the others.
 * @throws ImgcopyError of kind `usage` where the destinations cannot go together; the signal's reason.
 */
export async function eachDestination<T>(
  shared: SharedResources,
  { from, to, isDryRun }: SeveralEnds,
  options: Omit<CopyOptions, 'destinationId'>,
  work: BranchWork<T>,
): Promise<readonly BranchOutcome<T>[]> {
  return underOwnSignal(options.signal, async (signal) => {
    const job: CopyJob = { shared, options, tally: new Tally(options), signal, isDryRun };
    const source = resolveSource(shared, from);
    const ends = await Promise.all(to.map((destination) => resolveDestination(job, source, destination)));
    await refuseTogether(ends, options);
    const destinations = ends.map(({ destination }) => destination);
    await approach(job, source, destinations);
    await using open = await openSource(job, source, destinations);
    const named = ends.map((one) => withOwnTag(one, open.end));
    const outcomes = await workForAll({ job, from: source, source: open.end }, named, work);
    signal.throwIfAborted();
    const isAnyDone = outcomes.some(({ error }) => error === undefined);
    if (source.name !== undefined && isAnyDone && !isDryRun) await finishSource(job, open.end);
    return outcomes;
  });
}

interface OpenSource {
  readonly job: CopyJob;
  readonly from: End<ImageSource>;
  readonly source: ImageSource;
}

async function workForAll<T>(
  { job, from, source }: OpenSource,
  all: readonly Ends[],
  work: BranchWork<T>,
): Promise<readonly BranchOutcome<T>[]> {
  const leftOut = await leftOutOf(job, from);
  const branches = all.map((ends) => {
    const { name, object } = ends.destination;
    const id = name?.toString() ?? object?.reference ?? '';
    const options = { ...job.options, destinationId: id };
    const own: CopyJob = { ...job, options, tally: new Tally(options, job.tally) };
    return { id, job: own, ends, opening: openDestination(own, ends, { source, leftOut }) };
  });
  const opened = await Promise.allSettled(branches.map(({ opening }) => opening));
  const open = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  try {
    await refuseSecretForSeveral(registriesOf(open), { side: 'destination', endpoint: job.options.destination });
    const sharing = shareSource(job, source, open);
    return await Promise.all(
      branches.map(async (branch, index): Promise<BranchOutcome<T>> => {
        const { id } = branch;
        const one = opened[index] as PromiseSettledResult<OpenEnd<ImageDestination>>;
        const share = one.status === 'fulfilled' ? sharing.get(one.value) : undefined;
        try {
          if (one.status === 'rejected') throw one.reason;
          const run = { ...prepareRun(branch.job, source, one.value.end), sharing: share };
          return { id, value: await forDestination(id, () => work(branch, run, leftOut)) };
        } catch (error) {
          return { id, error: error instanceof Error ? error : new Error(String(error)) };
        } finally {
          share?.end();
        }
      }),
    );
  } finally {
    await Promise.all(open.map(async (one) => one[Symbol.asyncDispose]()));
  }
}

function shareSource(
  { shared, signal }: CopyJob,
  source: ImageSource,
  open: readonly OpenEnd<ImageDestination>[],
): ReadonlyMap<OpenEnd<ImageDestination>, SharingCopy> {
  // One alone is copied to as always.
  if (open.length < 2) return new Map();
  const reads = new SharedReads({
    source,
    pool: shared.pool,
    memory: shared.memory,
    patienceMs: shared.options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    isInTurn: open.some(({ end: destination }) => isSerial({ source, destination })),
    signal,
  });
  return new Map(open.map((one) => [one, reads.add(one.end)]));
}

/** What no two destinations of one copy may have. */
async function refuseTogether(all: readonly Ends[], options: CopyOptions): Promise<void> {
  if (all.length === 0)
    throw new ImgcopyError('there is no destination', { code: 'ERR_USAGE', kind: 'usage', hint: 'give at least one' });
  for (const [index, { destination }] of all.entries()) {
    for (const other of all.slice(0, index)) {
      if (await isOneDestination(destination, other.destination))
        throw sameDestination(String(destination.name ?? destination.object.reference));
    }
  }
  const registries = all.flatMap(({ destination }) => destination.name?.registry ?? []);
  await refuseSecretForSeveral(registries, { side: 'destination', endpoint: options.destination });
}

/** Standard output takes one archive. */
async function isOneDestination(one: End<ImageDestination>, other: End<ImageDestination>): Promise<boolean> {
  if (one.name === undefined || other.name === undefined)
    return one.object !== undefined && one.object === other.object;
  if (one.name.usesStandardStreams === true && other.name.usesStandardStreams === true) return true;
  return await isSamePlace(one.name, other.name);
}

function sameDestination(name: string): ImgcopyError {
  return new ImgcopyError(`two destinations are the same place: ${name}`, {
    code: 'ERR_SAME_PLACE',
    kind: 'usage',
    side: 'destination',
    hint: 'give each destination once; further tags of one repository can be given with --additional-tag',
  });
}

function registriesOf(open: readonly OpenEnd<ImageDestination>[]): readonly string[] {
  return open.flatMap(({ end }) => end.repository?.registry ?? []);
}
