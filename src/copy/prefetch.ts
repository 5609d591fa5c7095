import type { MemoryAccount, MemoryShare } from '../io/memory.ts';
import type { BlobInfo } from '../contract/blob-info.ts';
import type { BlobStream } from '../contract/image-source.ts';
import type { CopyRun } from './copy-run.ts';

/** Blobs up to here are read into memory while the destination is asked for them, in bytes. */
const PREFETCHED_BLOB = 4 * 1024 * 1024;

/** Whether a blob that is opened early is fetched to its end. */
export function isSmall({ size }: BlobInfo): boolean {
  return size <= PREFETCHED_BLOB;
}

/** What was fetched of a blob: all its bytes, or a stream that was opened. Not verified. */
export type Prefetched =
  | ({ readonly bytes: Buffer } & Pick<BlobStream, 'contentEncoding'>)
  | ({ readonly bytes?: undefined } & Pick<BlobStream, 'stream' | 'contentEncoding'>);

/** A blob that is being fetched although it may not be needed. Disposing of it ends what is still under way. */
export interface Prefetch extends AsyncDisposable {
  /** Whether all of it is fetched, in memory, and not its first bytes alone. */
  readonly isWhole: boolean;
  /** The blob, the first time; undefined after that. */
  take(): Promise<Prefetched | undefined>;
}

/**
 * Fetches a blob while its destination is still being asked. A small one is read to its end at once, within the run's memory budget; of a larger
 * one only the answer's head is waited for.
 */
export function prefetch(run: CopyRun, info: BlobInfo, memory: MemoryAccount): Prefetch {
  const controller = new AbortController();
  const { signal } = controller;
  // Not by AbortSignal.any, which takes ten times as long.
  const abort = (): void => controller.abort(run.signal.reason);
  if (run.signal.aborted) abort();
  run.signal.addEventListener('abort', abort);
  const isWhole = isSmall(info);
  let fetched: Promise<Fetched> | undefined = isWhole
    ? fetchSmall(run, info, { memory, signal })
    : fetchLarge(run, info, signal);
  // Who never takes it does not want to hear of its end either.
  fetched.catch(() => undefined);
  const started = fetched;
  return {
    isWhole,
    async take(): Promise<Prefetched | undefined> {
      const mine = fetched;
      fetched = undefined;
      return (await mine)?.blob;
    },
    async [Symbol.asyncDispose](): Promise<void> {
      if (fetched !== undefined) controller.abort();
      run.signal.removeEventListener('abort', abort);
      const { blob, share } = await started.catch((): Fetched => ({}));
      if (fetched !== undefined && blob?.bytes === undefined) blob?.stream.on('error', () => undefined).destroy();
      share?.[Symbol.dispose]();
    },
  };
}

interface Fetched {
  readonly blob?: Prefetched;
  readonly share?: MemoryShare;
}

interface FetchSmallOptions {
  readonly memory: MemoryAccount;
  readonly signal: AbortSignal;
}

async function fetchSmall(
  { source, cache }: CopyRun,
  info: BlobInfo,
  { memory, signal }: FetchSmallOptions,
): Promise<Fetched> {
  const share = await memory.take(info.size, { signal });
  if (share === undefined) return {};
  try {
    const opened = await source.getBlob(info, { cache, signal });
    const { contentEncoding } = opened;
    // Copied together as they come: a chunk may keep the larger buffer alive that it was cut from.
    const bytes = Buffer.allocUnsafeSlow(info.size);
    let length = 0;
    for await (const chunk of opened.chunks ?? (opened.stream as AsyncIterable<Buffer>)) {
      // More than was promised is wrong, as whoever verifies it will find.
      if (length + chunk.length > info.size)
        return { blob: { bytes: Buffer.concat([bytes.subarray(0, length), chunk]), contentEncoding }, share };
      length += chunk.copy(bytes, length);
    }
    return { blob: { bytes: bytes.subarray(0, length), contentEncoding }, share };
  } catch (error) {
    share[Symbol.dispose]();
    throw error;
  }
}

async function fetchLarge({ source, cache }: CopyRun, info: BlobInfo, signal: AbortSignal): Promise<Fetched> {
  const opened = await source.getBlob(info, { cache, signal });
  return { blob: opened };
}
