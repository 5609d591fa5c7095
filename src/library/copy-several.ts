import { SharedReads, type SharingCopy } from '../copy/shared-reads.ts';
import type { PreparedRun } from '../copy/copy-run.ts';
import { isSerial } from '../copy/serial.ts';
import type { LeftOutBlobs } from '../contract/blob-info.ts';
import type { ImageDestination } from '../contract/image-destination.ts';
import type { ImageSource } from '../contract/image-source.ts';
import { forDestination, ImgcopyError } from '../errors/imgcopy-error.ts';
import { nowMs } from '../io/clock.ts';
import {
  approach,
  copyToOpen,
  finishSource,
  leftOutOf,
  openDestination,
  openSource,
  prepareRun,
  resolveDestination,
  resolveSource,
  Tally,
  withOwnTag,
  type CopyJob,
  type End,
  type Ends,
  type OpenEnd,
} from './copy.ts';
import type { CopyOptions, DestinationOutcome } from './options.ts';
import type { ImageName } from '../transports/transport.ts';
import { underOwnSignal } from './own-signal.ts';
import { refuseSecretForSeveral } from './secret-for-one.ts';
import { DEFAULT_TIMEOUT_MS, type SharedResources } from './shared-resources.ts';

/** See Copier.copy. */
export async function copyToSeveral(
  shared: SharedResources,
  from: string | ImageSource,
  to: readonly (string | ImageDestination)[],
  options: Omit<CopyOptions, 'destinationId'>,
): Promise<readonly DestinationOutcome[]> {
  return underOwnSignal(options.signal, async (signal) => {
    const tally = new Tally(options);
    const job: CopyJob = { shared, options, tally, signal };
    const source = resolveSource(shared, from);
    const ends = await Promise.all(to.map((destination) => resolveDestination(job, source, destination)));
    await refuseTogether(ends, options);
    const destinations = ends.map(({ destination }) => destination);
    await approach(job, source, destinations);
    await using open = await openSource(job, source, destinations);
    const named = ends.map((one) => withOwnTag(one, open.end));
    const outcomes = await copyToAll(job, named, source, open.end);
    signal.throwIfAborted();
    if (source.name !== undefined && outcomes.some(({ result }) => result !== undefined))
      await finishSource(job, open.end);
    return outcomes;
  });
}

/** One of the destinations, through its steps. */
interface Branch {
  readonly id: string;
  readonly job: CopyJob;
  readonly ends: Ends;
  readonly opening: Promise<OpenEnd<ImageDestination>>;
}

async function copyToAll(
  job: CopyJob,
  all: readonly Ends[],
  from: End<ImageSource>,
  source: ImageSource,
): Promise<readonly DestinationOutcome[]> {
  const started = nowMs();
  const leftOut = await leftOutOf(job, from);
  const branches = all.map((ends): Branch => {
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
      branches.map(async (branch, index): Promise<DestinationOutcome> => {
        const one = opened[index] as PromiseSettledResult<OpenEnd<ImageDestination>>;
        try {
          if (one.status === 'rejected') throw one.reason;
          const copied = await forDestination(branch.id, () =>
            copyOne(
              branch,
              { ...prepareRun(branch.job, source, one.value.end), sharing: sharing.get(one.value) },
              leftOut,
            ),
          );
          return { destinationId: branch.id, result: { ...copied, durationMs: Math.round(nowMs() - started) } };
        } catch (error) {
          return { destinationId: branch.id, error: error instanceof Error ? error : new Error(String(error)) };
        }
      }),
    );
  } finally {
    await Promise.all(open.map(async (one) => one[Symbol.asyncDispose]()));
  }
}

async function copyOne(
  { job, ends }: Branch,
  run: PreparedRun,
  leftOut: LeftOutBlobs | undefined,
): ReturnType<typeof copyToOpen> {
  try {
    return await copyToOpen(job, ends, run, leftOut);
  } finally {
    run.sharing?.end();
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
  const seen = new Set<unknown>();
  for (const { destination } of all) {
    const place = destination.object ?? (await placeToWrite(destination.name));
    if (seen.has(place)) throw sameDestination(String(destination.name ?? destination.object?.reference));
    seen.add(place);
  }
  const registries = all.flatMap(({ destination }) => destination.name?.registry ?? []);
  await refuseSecretForSeveral(registries, { side: 'destination', endpoint: options.destination });
}

/** Where it is, or `standard output`, which takes one archive. */
async function placeToWrite(name: ImageName): Promise<string> {
  return name.usesStandardStreams === true ? 'standard output' : await name.place();
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
