import { setImmediate as nextTurn } from 'node:timers/promises';
import type { LeftOutBlobs } from '../contract/blob-info.ts';
import type { ImageDestination } from '../contract/image-destination.ts';
import type { ImageSource, OnBlobAhead } from '../contract/image-source.ts';
import { isAbort } from '../errors/imgcopy-error.ts';
import type { OpenOptions } from '../transports/transport.ts';
import type { CopyJob } from './copy-job.ts';
import type { End, Ends } from './ends.ts';
import { cannotBe } from './questions.ts';

/** An end that is open. What the copy has opened it disposes of; what it was handed it leaves open. */
export interface OpenEnd<T> extends AsyncDisposable {
  readonly end: T;
}

/** Connections begin before the rest of the program is loaded. */
export async function approach(
  job: CopyJob,
  source: End<ImageSource>,
  destinations: readonly End<ImageDestination>[],
): Promise<void> {
  const { source: from = {}, destination: to = {} } = job.options;
  // What goes wrong is told when they are opened.
  await Promise.allSettled([
    source.name?.approach?.('read', { ...openOptions(job), endpoint: from }),
    ...destinations.map(({ name }) => name?.approach?.('write', { ...openOptions(job), endpoint: to })),
  ]);
  // TCP that is open by now goes on with TLS: a first turn ends what the event loop is at, a second one looks at sockets.
  await nextTurn();
  await nextTurn();
}

export async function openSource(
  job: CopyJob,
  source: End<ImageSource>,
  targets: readonly End<ImageDestination>[],
  onBlobAhead?: OnBlobAhead,
): Promise<OpenEnd<ImageSource>> {
  if (source.name === undefined) return borrowed(source.object);
  if (source.name.openSource === undefined) throw cannotBe('read', source.name);
  const { source: endpoint = {} } = job.options;
  const destinations = targets.flatMap(({ name }) => (name === undefined ? [] : [name]));
  return opened(await source.name.openSource({ ...openOptions(job), endpoint, destinations, onBlobAhead }));
}

export async function openDestination(
  job: CopyJob,
  { destination }: Ends,
  { source, leftOut }: { readonly source: Pick<ImageSource, 'servedFrom'>; readonly leftOut: LeftOutBlobs | undefined },
): Promise<OpenEnd<ImageDestination>> {
  if (destination.name === undefined) return borrowed(destination.object);
  if (destination.name.openDestination === undefined) throw cannotBe('written', destination.name);
  const { destination: endpoint = {}, force = false, noClobber = false } = job.options;
  const { isDryRun } = job;
  const options = { ...openOptions(job), endpoint, source: source.servedFrom?.(), force, noClobber, leftOut, isDryRun };
  return opened(await destination.name.openDestination(options));
}

function openOptions({ shared, tally, signal }: CopyJob): Omit<OpenOptions, 'endpoint'> {
  return {
    access: shared.access,
    env: shared.env,
    registries: shared.registries,
    observer: tally.observer,
    onWarning: shared.warn,
    cache: shared.openedCache,
    signal,
  };
}

function opened<T extends AsyncDisposable>(end: T): OpenEnd<T> {
  return { end, [Symbol.asyncDispose]: async () => end[Symbol.asyncDispose]() };
}

export function borrowed<T>(end: T): OpenEnd<T> {
  return { end, [Symbol.asyncDispose]: () => Promise.resolve() };
}

/** The image is complete by now, whatever follows it in a stream. */
export async function finishSource({ shared, signal }: CopyJob, source: ImageSource): Promise<void> {
  try {
    await source.finish?.({ signal });
  } catch (error) {
    if (isAbort(error) || !(error instanceof Error)) throw error;
    shared.warn(`the image was copied, but what follows it in ${source.reference} could not be read: ${error.message}`);
  }
}
