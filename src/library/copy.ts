import type { LeftOutBlobs } from '../contract/blob-info.ts';
import type { ImageDestination } from '../contract/image-destination.ts';
import type { ImageSource } from '../contract/image-source.ts';
import type { CopyImageOptions } from '../copy/copy-decision.ts';
import type { CopiedImage } from '../copy/copy-image.ts';
import type { PreparedRun } from '../copy/copy-run.ts';
import { isSerialSource } from '../copy/serial.ts';
import { forDestination } from '../errors/imgcopy-error.ts';
import { nowMs } from '../io/clock.ts';
import { isLoopbackHost } from '../reference/registry-host.ts';
import { parseImageName } from '../transports/table.ts';
import { prepareAhead, type CopyAhead } from './copy-ahead.ts';
import { prepareRun, type CopyJob, type OneCopyOptions } from './copy-job.ts';
import { resolveEnds, withOwnTag, type End, type Ends } from './ends.ts';
import { loadMeanwhile } from './load-meanwhile.ts';
import { approach, borrowed, finishSource, openDestination, openSource } from './open-ends.ts';
import type { CopyOptions, CopyResult } from './options.ts';
import { underOwnSignal } from './own-signal.ts';
import type { SharedResources } from './shared-resources.ts';
import { Tally } from './tally.ts';

/** See Copier.copy. */
export async function copyBetween(
  shared: SharedResources,
  from: string | ImageSource,
  to: string | ImageDestination,
  options: OneCopyOptions,
): Promise<CopyResult> {
  const started = nowMs();
  const tally = new Tally(options);
  return underOwnSignal(options.signal, async (signal) => {
    const job: CopyJob = { shared, options, tally, signal };
    const resolved = await resolveEnds(job, from, to);
    await approach(job, resolved.source, [resolved.destination]);
    await using ahead = await prepareAhead(job, resolved);
    await using source = await forDestination(
      options.destinationId,
      ahead?.openSource ?? (() => openSource(job, resolved.source, [resolved.destination])),
    );
    const ends = withOwnTag(resolved, source.end);
    const copied = await forDestination(options.destinationId, () => copyTo(job, ends, source.end, ahead));
    if (ends.source.name !== undefined) await finishSource(job, source.end);
    return { ...copied, durationMs: Math.round(nowMs() - started) };
  });
}

async function copyTo(
  job: CopyJob,
  ends: Ends,
  source: ImageSource,
  ahead: CopyAhead | undefined,
): Promise<Omit<CopyResult, 'durationMs'>> {
  const leftOut = await leftOutOf(job, ends.source);
  const open = await ahead?.destinationFor(ends);
  await using destination = open === undefined ? await openDestination(job, ends, { source, leftOut }) : borrowed(open);
  const run = prepareRun(job, source, destination.end);
  const hasAhead = ahead !== undefined && isSerialSource(source);
  return await copyToOpen(job, ends, hasAhead ? { ...run, bringBlob: ahead.bringBlob } : run, leftOut);
}

/** What `--since` leaves out. Undefined where it is not given. */
export async function leftOutOf(
  { shared, options, signal }: CopyJob,
  source: End<ImageSource>,
): Promise<LeftOutBlobs | undefined> {
  const { since = [], platforms, source: endpoint, onRequest } = options;
  if (since.length === 0) return undefined;
  const names = [source.name, ...since.map((reference) => parseImageName(reference, shared.transports))];
  const { refuseSecretForSeveral } = await import('./secret-for-one.ts');
  await refuseSecretForSeveral(
    names.flatMap((name) => name?.registry ?? []),
    { side: 'source', endpoint },
  );
  const { layersOf } = await import('./since.ts');
  return await layersOf(shared, since, { platforms, endpoint, onRequest, signal });
}

/** Copies between ends that are open. */
export async function copyToOpen(
  { shared, options, tally }: CopyJob,
  ends: Ends,
  run: PreparedRun,
  leftOut: LeftOutBlobs | undefined,
): Promise<Omit<CopyResult, 'durationMs'>> {
  const { source, destination } = run;
  const { reference } = destination;
  tally.start(source.reference, reference);
  const { copyImage } = await import('../copy/copy-image.ts');
  if (options.maxBytes !== undefined) await refuseMoreBytes(run, options.maxBytes, imageOptions(options, ends));
  const copy = (): Promise<CopiedImage> => copyImage(run, imageOptions(options, ends));
  const copied = await (mayBeFar(run) ? loadMeanwhile(loadBlobs, copy) : copy());
  const result = tally.result(copied);
  if (leftOut !== undefined && copied.skipped === undefined && result.blobs.leftOut === undefined)
    shared.warn(`${reference} is a whole image: it shares no layer with ${leftOut.since.join(' and ')}`);
  return {
    ...result,
    source: source.reference,
    destination: reference,
    reference: ends.destination.name?.pinned(copied.digest) ?? `${reference}@${copied.digest}`,
  };
}

async function loadBlobs(): Promise<unknown> {
  return (await import('../copy/blob-set.ts')).BlobSet;
}

/** Whether one of the ends is a registry, and not one on this machine. */
function mayBeFar({ source, destination }: PreparedRun): boolean {
  const registries = [source.servedFrom?.()?.registry, destination.repository?.registry];
  return registries.some((registry) => registry !== undefined && !isLoopbackHost(registry));
}

/**
 * Of several destinations, each is looked at as if it were the only one: where another fails, it may have to do what that one was to do.
 * @throws ImgcopyError ERR_MAX_BYTES
 */
export async function refuseMoreBytes(run: PreparedRun, maxBytes: number, options: CopyImageOptions): Promise<void> {
  const { dryRun, refuseBytes } = await import('../copy/dry-run.ts');
  const quiet = { ...run, sharing: undefined, emit: () => undefined };
  refuseBytes(run.destination.reference, maxBytes, await dryRun(quiet, options));
}

/** What the options say of the image itself. */
export function imageOptions(options: CopyOptions, { source, destination }: Ends): CopyImageOptions {
  const wantsReferrers = options.referrers ?? options.referrerTypes !== undefined;
  return {
    ...options,
    referrers: wantsReferrers ? { types: options.referrerTypes } : undefined,
    sourceDigest: source.name?.digest,
    destinationDigest: destination.name?.digest,
  };
}
