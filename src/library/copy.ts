import { nowMs } from '../io/clock.ts';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { BlobsAhead, RunAhead } from '../copy/blobs-ahead.ts';
import type { CopyImageOptions } from '../copy/copy-decision.ts';
import type { CopiedImage } from '../copy/copy-image.ts';
import type { SharedContent } from '../copy/shared-content.ts';
import type { PreparedRun } from '../copy/copy-run.ts';
import type { LeftOutBlobs } from '../contract/blob-info.ts';
import type { ImageDestination } from '../contract/image-destination.ts';
import type { BlobAhead, ImageSource, OnBlobAhead } from '../contract/image-source.ts';
import { forDestination, ImgcopyError, isAbort } from '../errors/imgcopy-error.ts';
import { isLoopbackHost } from '../reference/registry-host.ts';
import { loadMeanwhile } from './load-meanwhile.ts';
import type { CopyOptions, CopyResult } from './options.ts';
import { cannotBe } from './questions.ts';
import { underOwnSignal } from './own-signal.ts';
import type { SharedResources } from './shared-resources.ts';
import { Tally } from './tally.ts';
import { parseImageName } from '../transports/table.ts';
import type { ImageName, OpenOptions } from '../transports/transport.ts';

/** One copy, through its steps. */
export interface CopyJob {
  readonly shared: SharedResources;
  readonly options: OneCopyOptions;
  readonly tally: Tally;
  readonly signal: AbortSignal;
  /** Whether the destination is only asked. Default false. */
  readonly isDryRun?: boolean | undefined;
}

/** Of a copy that is one of several. */
export interface OneCopyOptions extends CopyOptions {
  /** What the others have brought. */
  readonly content?: SharedContent | undefined;
  readonly bringBlob?: PreparedRun['bringBlob'];
}

/** A name, or an object that its owner has opened. */
export type End<T> =
  { readonly name: ImageName; readonly object?: undefined } | { readonly name?: undefined; readonly object: T };

export interface Ends {
  readonly source: End<ImageSource>;
  readonly destination: End<ImageDestination>;
  /** The destination's name as it was given. */
  readonly given?: ImageName | undefined;
}

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
    await using source = await forDestination(options.destinationId, () => openForOne(job, resolved, ahead));
    const ends = withOwnTag(resolved, source.end);
    const copied = await forDestination(options.destinationId, () => copyTo(job, ends, source.end, ahead));
    if (ends.source.name !== undefined) await finishSource(job, source.end);
    return { ...copied, durationMs: Math.round(nowMs() - started) };
  });
}

/** The part of a copy that comes before the manifest. The destination is opened for the first blob, and stays open until this is disposed of. */
interface CopyAhead extends AsyncDisposable {
  readonly blobs: BlobsAhead;
  /** The destination, where it is open under this name, or being opened. */
  readonly destinationFor: (ends: Ends) => Promise<ImageDestination | undefined>;
}

/** Undefined where all waits for the manifest. */
async function prepareAhead(job: CopyJob, ends: Ends): Promise<CopyAhead | undefined> {
  const { options, tally, signal } = job;
  const { name } = ends.source;
  if (name === undefined || name.registry !== undefined) return undefined;
  if (ends.destination.name?.registry === undefined || mayLeaveOutLayers(options)) return undefined;
  const reference = String(name);
  const isNamed = isNameSettled(ends);
  let opening: Promise<OpenEnd<ImageDestination>> | undefined;
  const open = async (untilEnd: AbortSignal): Promise<RunAhead> => {
    const own = { ...job, signal: untilEnd };
    opening = openDestination(own, ends, { source: {}, leftOut: undefined });
    const { end } = await opening;
    tally.start(reference, isNamed ? end.reference : String(ends.given));
    return prepareDestination(own, end);
  };
  const { BlobsAhead } = await import('../copy/blobs-ahead.ts');
  const { noClobber, force } = options;
  const blobs = new BlobsAhead({ open, isNamed, noClobber, force, reference, signal });
  return {
    blobs,
    destinationFor: async ({ destination }) =>
      String(destination.name) === String(ends.destination.name) ? (await opening)?.end : undefined,
    async [Symbol.asyncDispose](): Promise<void> {
      await blobs[Symbol.asyncDispose]();
      // Where it failed, whoever opened it was told.
      await (await opening?.catch(() => undefined))?.[Symbol.asyncDispose]();
    },
  };
}

/** Whether the options may leave out layers that are in the source, or all of the copy, for what the manifest says. */
function mayLeaveOutLayers(options: OneCopyOptions): boolean {
  const { platforms, substitute, maxBytes, ifDigest, referrers, referrerTypes, requiredReferrers } = options;
  const given = [platforms, maxBytes, ifDigest, referrerTypes, requiredReferrers, options.bringBlob];
  return given.some((option) => option !== undefined) || substitute === true || referrers === true;
}

async function openForOne(job: CopyJob, ends: Ends, ahead: CopyAhead | undefined): Promise<OpenEnd<ImageSource>> {
  const { source, destination } = ends;
  if (ahead === undefined) return await openSource(job, source, [destination]);
  const { blobs } = ahead;
  const onBlobAhead = (blob: BlobAhead): void => blobs.add(blob);
  return await blobs.whileOpening((signal) => openSource({ ...job, signal }, source, [destination], onBlobAhead));
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
  return await copyToOpen(job, ends, ahead === undefined ? run : { ...run, bringBlob: ahead.blobs.bring }, leftOut);
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

/** The image is complete by now, whatever follows it in a stream. */
export async function finishSource({ shared, signal }: CopyJob, source: ImageSource): Promise<void> {
  try {
    await source.finish?.({ signal });
  } catch (error) {
    if (isAbort(error) || !(error instanceof Error)) throw error;
    shared.warn(`the image was copied, but what follows it in ${source.reference} could not be read: ${error.message}`);
  }
}

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

/** Reads the names, completes the destination's, and refuses what cannot be copied. Nothing is opened. */
export async function resolveEnds(
  job: Pick<CopyJob, 'shared' | 'options'>,
  from: string | ImageSource,
  to: string | ImageDestination,
): Promise<Ends> {
  return resolveDestination(job, resolveSource(job.shared, from), to);
}

export function resolveSource(shared: SharedResources, from: string | ImageSource): End<ImageSource> {
  return typeof from === 'string' ? named(parseImageName(from, shared.transports).withDefaultTag()) : handed(from);
}

export async function resolveDestination(
  { shared, options }: Pick<CopyJob, 'shared' | 'options'>,
  source: End<ImageSource>,
  to: string | ImageDestination,
): Promise<Ends> {
  if (typeof to !== 'string') {
    if (options.since !== undefined) refuseSince(to.reference, options.since);
    return { source, destination: handed(to) };
  }
  const given = parseImageName(to, shared.transports);
  const name = given.completedFrom(source.name);
  if (source.name !== undefined) await refuseSamePlace(source.name, name);
  if (options.additionalTags !== undefined) refuseTags(name, options.additionalTags);
  if (options.since !== undefined) refuseSince(name, options.since);
  return { source, destination: named(name), given };
}

/** Whether the destination's name is known before the source is open: that may tell the tag. */
function isNameSettled({ given, source: { name } }: Ends): boolean {
  return (given?.tag ?? given?.digest ?? name?.tag ?? name?.digest) !== undefined;
}

/** Where the source's name has neither tag nor digest, the source may tell the tag once it is open. */
export function withOwnTag(ends: Ends, { tag, fullName }: ImageSource): Ends {
  const { given } = ends;
  const { name } = ends.source;
  if (tag === undefined || given === undefined || name === undefined || isNameSettled(ends)) return ends;
  return { ...ends, destination: named(given.completedFrom(name, { tag, fullName })) };
}

function named(name: ImageName): { readonly name: ImageName } {
  return { name };
}

function handed<T>(object: T): { readonly object: T } {
  return { object };
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

/** An end that is open. What the copy has opened it disposes of; what it was handed it leaves open. */
export interface OpenEnd<T> extends AsyncDisposable {
  readonly end: T;
}

function opened<T extends AsyncDisposable>(end: T): OpenEnd<T> {
  return { end, [Symbol.asyncDispose]: async () => end[Symbol.asyncDispose]() };
}

function borrowed<T>(end: T): OpenEnd<T> {
  return { end, [Symbol.asyncDispose]: () => Promise.resolve() };
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

export function prepareRun(job: CopyJob, source: ImageSource, destination: ImageDestination): PreparedRun {
  return { ...prepareDestination(job, destination), source };
}

function prepareDestination(
  { shared, options, tally, signal, isDryRun = false }: CopyJob,
  destination: ImageDestination,
): Omit<PreparedRun, 'source'> {
  return {
    destination,
    openCache: () => (isDryRun ? shared.cacheToRead() : shared.cache()),
    pool: shared.pool,
    memory: shared.memory,
    policy: shared.policy,
    partial: options.partial ?? 'auto',
    substitute: options.substitute ?? false,
    includeForeign: options.allowNondistributableArtifacts ?? false,
    removeSignatures: options.removeSignatures ?? false,
    content: options.content,
    bringBlob: options.bringBlob,
    emit: tally.emit,
    signal,
  };
}

/** Whether two names lead to one place: to the same image, or by several transports to the same directory or file. */
export async function isSamePlace(one: ImageName, other: ImageName): Promise<boolean> {
  const [place, otherPlace] = await Promise.all([one.place(), other.place()]);
  if (place === otherPlace) return true;
  if (one.transport === other.transport) return false;
  const [path, otherPath] = await Promise.all([one.pathOnDisk?.(), other.pathOnDisk?.()]);
  return path !== undefined && path === otherPath;
}

export async function refuseSamePlace(source: ImageName, destination: ImageName): Promise<void> {
  if (!(await isSamePlace(source, destination))) return;
  throw new ImgcopyError(`source and destination are the same place: ${source.toString()}`, {
    code: 'ERR_SAME_PLACE',
    kind: 'usage',
  });
}

function refuseTags(destination: ImageName, tags: readonly string[]): void {
  if (tags.length === 0 || destination.withTag !== undefined) return;
  throw new ImgcopyError(`${destination.toString()} cannot have further tags`, {
    code: 'ERR_USAGE',
    kind: 'usage',
    hint: 'leave out --additional-tag',
  });
}

function refuseSince(destination: ImageName | string, since: readonly string[]): void {
  if (since.length === 0 || (typeof destination !== 'string' && destination.mayLeaveOut === true)) return;
  throw new ImgcopyError(`--since is for archives, and ${destination.toString()} is none`, {
    code: 'ERR_USAGE',
    kind: 'usage',
    side: 'destination',
    hint: 'leave out --since, for what a destination has is not copied again; or write an archive: oci-archive:FILE',
  });
}
