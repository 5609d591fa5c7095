import { Readable } from 'node:stream';
import { ContentMismatchError } from '../digest/digest.ts';
import { duringOperation, lacksFiles, type Side } from '../errors/imgcopy-error.ts';
import { isForeignLayer } from '../manifest/media-types.ts';
import type { MemoryAccount } from '../io/memory.ts';
import type { AcquireOptions, Keep, Pool, Release } from '../io/semaphore.ts';
import { annotatedFormat, isAnnotatedChunked, MIN_RANGED_BLOB } from '../partial/plan/plan-blob.ts';
import { Attempts } from '../retry/attempts.ts';
import type { BlobInfoCache } from '../contract/blob-info-cache.ts';
import type { BlobChunkAccessor } from '../contract/blob-chunk-accessor.ts';
import type { BlobInfo } from '../contract/blob-info.ts';
import { BlobAttemptError, explainMismatch, PartialBlobUnavailableError } from '../contract/errors.ts';
import { servedFrom, type RepositoryName } from '../contract/image-source.ts';
import type {
  LayerPlace,
  PartialPlan,
  PutBlobPartialOptions,
  ReusedBlob,
  TryReusingBlobOptions,
} from '../contract/image-destination.ts';
import type { BlobToCopy, CopiedBlob, CopyBlobOptions } from './blob-to-copy.ts';
import type { CopyRun } from './copy-run.ts';
import type { LayerContent } from './layer-content.ts';
import { Meter } from './meter.ts';
import { isSmall, prefetch, type Prefetch, type Prefetched } from './prefetch.ts';
import { partsOf } from './source-parts.ts';
import { isInTurn, isSerial } from './serial.ts';
import type { BlobShare } from './shared-reads.ts';

/** Blobs below this size count a quarter in the pool: their time is round trips, not bytes. */
export const LIGHT_BLOB: number = 1024 * 1024;
export const LIGHT_WEIGHT = 0.25;
/** A destination counts as clearly farther away than the source when its round trip takes three times as long, and 100 ms more: less may be chance. */
const FARTHER = 3;
const FARTHER_MS = 100;

/**
 * Brings one blob to the destination, down the ladder: reuse, partial, whole. Where the system has no more files to open, it waits until fewer
 * blobs are on their way, and begins again.
 * @param options.uses  what the blob is to all manifests that name it; the list grows until the blob has its turn.
 * @param options.isDoubted  the destination may have been wrong about the blob: it is looked for itself, and nothing else is relied on.
 */
export async function copyBlob(run: CopyRun, blob: BlobToCopy, options: CopyBlobOptions = {}): Promise<CopiedBlob> {
  const { info, name } = blob;
  const share = run.sharing?.join(info);
  let isThere = false;
  try {
    for (;;) {
      const release = await waitForTurn(run, info, share);
      const { capacity } = run.pool;
      try {
        const copied = await copyInTurn(run, blob, { ...options, share });
        isThere = true;
        return copied;
      } catch (error) {
        if (!lacksFiles(error) || isSerial(run) || !narrow(run.pool, capacity))
          throw duringOperation(`copying ${name} ${info.digest} to ${run.destination.reference}`, error);
      } finally {
        release();
      }
    }
  } finally {
    share?.end(isThere);
  }
}

/** Waits for a place in the pool: where the source is shared, for one of all that the blob goes to. */
export async function waitForTurn(run: CopyRun, info: BlobInfo, share: BlobShare | undefined): Promise<Release> {
  if (share === undefined) return await placeFor(run, info);
  const endTurn = isInTurn(run) ? await run.pool.acquire({ signal: run.signal }) : undefined;
  try {
    const release = await share.begin(placeOptions(run, info));
    return () => {
      release();
      endTurn?.();
    };
  } catch (error) {
    endTurn?.();
    throw error;
  }
}

/** A place in the pool: the largest waiting blob goes first. */
export function placeFor(run: CopyRun, info: BlobInfo): Promise<Keep> {
  return run.pool.acquire(placeOptions(run, info));
}

function placeOptions({ signal }: CopyRun, { size }: BlobInfo): AcquireOptions & { readonly signal: AbortSignal } {
  return { weight: size < LIGHT_BLOB ? LIGHT_WEIGHT : 1, priority: size, signal };
}

/** Halves the pool, once for all blobs that failed together. @returns whether fewer than now may do. */
function narrow(pool: Pool, capacity: number): boolean {
  if (pool.capacity > LIGHT_WEIGHT && pool.capacity === capacity) pool.resize(Math.max(LIGHT_WEIGHT, capacity / 2));
  return pool.capacity < capacity;
}

async function copyInTurn(
  run: CopyRun,
  first: BlobToCopy,
  { isDoubted = false, uses = [first], share }: CopyBlobOptions & { readonly share: BlobShare | undefined },
): Promise<CopiedBlob> {
  const blob = asUsed(first, uses);
  const { info, name } = blob;
  run.emit({ type: 'blob-started', digest: info.digest, size: info.size, name });
  const copied = await climbDown(run, blob, { isDoubted, share });
  const { outcome, bytesFetched, bytesReused, bytesResumed = 0, reused } = copied;
  run.emit({
    type: 'blob-done',
    digest: info.digest,
    size: info.size,
    outcome,
    bytesFetched,
    bytesReused,
    bytesResumed,
    from: reused?.mountedFrom ?? (bytesFetched > 0 ? servedFrom(run.source, info.digest) : undefined),
  });
  return copied;
}

export interface UsedBlob extends BlobToCopy {
  readonly places: readonly LayerPlace[];
}

/** A layer of any image is treated as one, and may be like the old layers at each of its places. */
export function asUsed(first: BlobToCopy, uses: readonly BlobToCopy[] = [first]): UsedBlob {
  const layers = uses.filter(({ isConfig }) => !isConfig);
  const { info, substitutable } = first;
  const places = layers.map(({ layerIndex, platform }) => ({ layerIndex, platform }));
  return { ...(layers[0] ?? first), info, substitutable, places };
}

interface ClimbOptions {
  readonly isDoubted: boolean;
  /** Where the blob goes to other destinations as well. */
  readonly share: BlobShare | undefined;
}

async function climbDown(run: CopyRun, blob: UsedBlob, { isDoubted, share }: ClimbOptions): Promise<CopiedBlob> {
  const memory = share?.memory ?? run.memory.openAccount();
  const isEarly = share === undefined && !isDoubted && mayOpenEarly(run, blob);
  await using early = isEarly ? prefetch(run, blob.info, memory) : undefined;
  const reused = await tryReusing(run, blob, { isDoubted, share });
  if (reused !== undefined) return reused;
  const meter = new Meter(run, blob.info);
  // What is fetched already has no pieces to save.
  const partial = early?.isWhole ? undefined : await putPartial(run, blob, { meter, memory, share });
  const copied = partial ?? (await putWhole(run, blob, { meter, memory, early, share }));
  const format = annotatedFormat(blob.info);
  if (format !== undefined) run.cache.recordChunkedBlob({ digest: copied.digest, size: copied.size, format });
  return copied;
}

async function tryReusing(
  run: CopyRun,
  blob: BlobToCopy,
  { isDoubted: lookOnly, share }: ClimbOptions,
): Promise<CopiedBlob | undefined> {
  const { info } = blob;
  const followed = lookOnly ? undefined : await share?.follow(run.signal);
  const options = reuseOptions(run, blob, { lookOnly, from: followed?.repository });
  const reused = await run.destination.tryReusingBlobWithOptions(info, options);
  if (!reused.reused) {
    if (followed !== undefined) share?.noteRefusal();
    return undefined;
  }
  return reusedBlob(info, reused, reused.mountedFrom === undefined ? 'reused' : 'mounted');
}

/** A blob that needs no bytes. @param kind  how the blob itself is had, where it is that one. */
export function reusedBlob(
  info: Pick<BlobInfo, 'digest'>,
  reused: Extract<ReusedBlob, { reused: true }>,
  kind: 'reused' | 'mounted',
): CopiedBlob {
  const { digest, size, isLeftOut = false } = reused;
  const outcome = isLeftOut ? 'left-out' : digest !== info.digest ? 'substituted' : kind;
  return { outcome, digest, size, bytesFetched: 0, bytesReused: size, reused };
}

/** How the destination is asked for a blob. @param options.from  another repository that has it. Default: where the source has it. */
export function reuseOptions(
  { source, cache, signal }: CopyRun,
  { info, substitutable }: BlobToCopy,
  { lookOnly, from }: { readonly lookOnly: boolean; readonly from?: RepositoryName | undefined },
): TryReusingBlobOptions {
  return {
    cache,
    canSubstitute: !lookOnly && substitutable !== undefined,
    ...(lookOnly && { lookOnly }),
    manifestMediaType: substitutable?.manifestMediaType,
    srcRef: from ?? source.servedFrom?.(info.digest),
    signal,
  };
}

/** Whether all of a blob is fetched while its destination is asked for it: then there are no pieces to save. */
export function comesEarly(run: CopyRun, blob: BlobToCopy): boolean {
  return isSmall(blob.info) && mayOpenEarly(run, blob);
}

function mayOpenEarly(run: CopyRun, { info }: BlobToCopy): boolean {
  const { source, destination, partial } = run;
  // From that size on it comes by ranges where that can be done, once the destination was asked.
  if (isSerial(run) || info.size >= MIN_RANGED_BLOB || (partial !== 'never' && isAnnotatedChunked(info))) return false;
  return destination.expectsMissing?.(info, { srcRef: source.servedFrom?.(info.digest) }) ?? false;
}

/** How a blob that the destination lacks is sent: as one stream, or from pieces and ranges. No plan: the destination makes it when the blob is put. */
export type SendStep =
  { readonly kind: 'whole' } | { readonly kind: 'partial'; readonly plan: PartialPlan | undefined };

export interface SendOptions {
  /** The source's blobs as parts; undefined where it gives none. */
  readonly accessor: BlobChunkAccessor | undefined;
  /** All that is held of the blob is taken from here. */
  readonly memory: MemoryAccount;
}

/** Decides how a blob is sent. Nothing is sent yet: a plan may have read tables of contents, and is to be disposed of. */
export async function planToSend(run: CopyRun, blob: UsedBlob, { accessor, memory }: SendOptions): Promise<SendStep> {
  const { destination } = run;
  if (accessor === undefined || !mayComeInPieces(run, blob)) return { kind: 'whole' };
  if (destination.planBlobPartial === undefined) return { kind: 'partial', plan: undefined };
  const plan = await destination.planBlobPartial(accessor, blob.info, partialOptions(run, blob, memory));
  return plan === undefined ? { kind: 'whole' } : { kind: 'partial', plan };
}

function mayComeInPieces(run: CopyRun, blob: BlobToCopy): boolean {
  return (
    run.partial !== 'never' &&
    !blob.isConfig &&
    !isToBeLearnt(run, blob) &&
    // Ranges are asked of the source alone; a layer that is kept elsewhere comes whole.
    !isForeignLayer(blob.info) &&
    run.destination.putBlobPartial !== undefined
  );
}

function partialOptions(run: CopyRun, blob: UsedBlob, memory: MemoryAccount): PutBlobPartialOptions {
  const { cache, signal } = run;
  const { layerIndex, platform, places } = blob;
  return { cache, memory, layerIndex, platform, places, reusePieces: mayReusePieces(run), signal };
}

/** To find substitutes for a layer later, its content has to be known: it is decompressed as it passes, from its first byte to its last. */
function isToBeLearnt({ cache }: CopyRun, { info, substitutable }: BlobToCopy): boolean {
  return substitutable !== undefined && cache.uncompressedDigest(info.digest) === undefined;
}

/** Pieces are read from the destination: where that is much farther away than the source, the source gives them sooner. */
function mayReusePieces({ partial, source, destination }: CopyRun): boolean {
  const [near, far] = [source.roundTripMs, destination.roundTripMs];
  return partial === 'always' || near === undefined || far === undefined || far <= near * FARTHER + FARTHER_MS;
}

interface PutOptions {
  readonly meter: Meter;
  /** All that is held of the blob is taken from here. */
  readonly memory: MemoryAccount;
  readonly share: BlobShare | undefined;
}

async function putPartial(
  run: CopyRun,
  blob: UsedBlob,
  { meter, memory, share }: PutOptions,
): Promise<CopiedBlob | undefined> {
  const { source, destination } = run;
  const parts = share === undefined ? partsOf(source) : share.planning;
  // A shared read takes its memory when all have planned: nobody waits for memory with some of that in hand.
  const planned = share === undefined ? memory : run.memory.openAccount();
  const step = await planToSend(run, blob, { accessor: meter.measuring(parts), memory: planned });
  const accessor = meter.measuring(share?.accessor ?? parts);
  if (step.kind === 'whole' && meter.bytes > 0) meter.restart();
  if (step.kind === 'whole' || accessor === undefined || destination.putBlobPartial === undefined) return undefined;
  using plan = step.plan;
  try {
    const options = { ...partialOptions(run, blob, memory), ...(plan !== undefined && { plan }) };
    const put = await destination.putBlobPartial(accessor, blob.info, options);
    return { ...put, outcome: put.bytesReused > 0 ? 'partial' : 'copied', bytesFetched: meter.bytes };
  } catch (error) {
    if (!(error instanceof PartialBlobUnavailableError)) throw error;
    meter.restart();
    return undefined;
  }
}

/**
 * Streams the whole blob; again, with a new stream, as long as the destination says that another attempt may succeed. What a stream has carried once it
 * does not carry again.
 */
async function putWhole(
  run: CopyRun,
  blob: BlobToCopy,
  { meter, memory, early, share }: PutOptions & { readonly early: Prefetch | undefined },
): Promise<CopiedBlob> {
  const { source, destination, policy, cache, signal } = run;
  const { info } = blob;
  const what = `${blob.name} ${info.digest}`;
  /** Set once the bytes were wrong: a cache on the way may hold others than the registry. */
  let isFresh = false;
  let side: Side = 'destination';
  const attempts = new Attempts({
    policy,
    signal,
    notify: (retried) => run.emit({ type: 'retry', side, what, ...retried }),
  });
  for (;;) {
    let opened: Prefetched | undefined;
    try {
      const reader = share ?? source;
      const options = { cache, memory, signal };
      const isLearnt = isToBeLearnt(run, blob);
      // A decompressor may still read what the destination has given back.
      const givesBack = share === undefined && !isLearnt;
      opened = (await early?.take()) ?? (await reader.getBlob(info, { cache, signal, isFresh, givesBack }));
      if (opened.bytes !== undefined && !isLearnt && destination.putBlobBytes !== undefined) {
        const put = await destination.putBlobBytes(meter.countBytes(opened.bytes), info, options);
        return { outcome: 'copied', digest: put.digest, size: info.size, bytesFetched: meter.bytes, bytesReused: 0 };
      }
      const stream = opened.bytes === undefined ? opened.stream : Readable.from([opened.bytes], { objectMode: false });
      let content: LayerContent | undefined;
      const body = isLearnt ? await learning(stream, (learnt) => (content = learnt)) : stream;
      const put = await destination.putBlobWithOptions(meter.count(body), info, options);
      if (content !== undefined) record(cache, info, content);
      return { outcome: 'copied', digest: put.digest, size: info.size, bytesFetched: meter.bytes, bytesReused: 0 };
    } catch (error) {
      if (opened?.bytes === undefined) opened?.stream.destroy();
      const isOver = isSerial(run) && meter.bytes > 0;
      if (error instanceof BlobAttemptError) {
        const { cause, costs } = error;
        side = 'destination';
        if (isOver || !(await attempts.again({ why: cause.message, costs }))) throw cause;
      } else {
        const mayBeCache = error instanceof ContentMismatchError && !isFresh && !isOver;
        isFresh = true;
        side = 'source';
        if (!mayBeCache || !(await attempts.again({ why: error.message })))
          throw explainMismatch(error, opened?.contentEncoding);
      }
      meter.restart();
    }
  }
}

async function learning(stream: Readable, learnt: (content: LayerContent) => void): Promise<Readable> {
  const { learningContent } = await import('./layer-content.ts');
  return Readable.from(learningContent(stream, learnt), { objectMode: false });
}

/** To be called once the blob's bytes were verified. */
function record(cache: BlobInfoCache, { digest }: BlobInfo, { compression, diffId }: LayerContent): void {
  cache.recordDigestUncompressedPair(digest, diffId);
  cache.recordCompressor(digest, compression);
  cache.recordCompressor(diffId, 'uncompressed');
}
