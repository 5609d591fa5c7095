import type { Readable } from 'node:stream';
import type { BlobChunkAccessor } from '../types/blob-chunk-accessor.ts';
import type { BlobInfo, WaitOptions } from '../types/blob-info.ts';
import { BadPartialRequestError, PartialBlobUnavailableError, WholeBlobError } from '../types/errors.ts';
import { isGone } from './assemble.ts';
import { isWorthwhile, planFromTails } from './plan.ts';
import {
  coalesceFetches,
  MULTI_RANGE_GAP_BYTES,
  planOf,
  SINGLE_RANGE_GAP_BYTES,
  type Plan,
  type Segment,
} from './segments.ts';
import { locateTail, readTail, type ChunkedTail } from './tail.ts';

/** A blob of the destination that may hold pieces of a new one. */
export interface Candidate {
  readonly info: BlobInfo;
  /** Whether it is the layer at the new blob's place. */
  readonly isPredecessor: boolean;
  /** Whether it is known to have a table of contents, although its annotations do not say so. */
  readonly isKnownChunked: boolean;
}

export interface PlanBlobInput extends WaitOptions {
  readonly accessor: BlobChunkAccessor;
  readonly info: BlobInfo;
  /** The destination's own blobs. */
  readonly own: BlobChunkAccessor;
  /** Best first; asked for only where the new blob may be chunked. */
  readonly candidates: () => Promise<readonly Candidate[]>;
}

/** What there is to do: follow a plan, or take the whole blob that a source without ranges has begun to send. */
export type BlobPlan =
  | {
      readonly kind: 'plan';
      readonly plan: Plan;
      readonly oldBlobs: readonly BlobInfo[];
      readonly tail: ChunkedTail | undefined;
    }
  | { readonly kind: 'whole'; readonly stream: Readable };

/** Tables of contents of smaller layers take more time than they save, in bytes. */
export const MIN_CHUNKED_BLOB: number = 1024 * 1024;
/** From here on a blob is fetched by ranges in any case, in bytes. */
export const MIN_RANGED_BLOB: number = 16 * 1024 * 1024;
/** Old blobs whose tables of contents are read. */
const MAX_CANDIDATES = 4;

/**
 * Plans a blob: out of pieces of the destination's blobs where it is a chunked layer, else by ranges.
 * @throws PartialBlobUnavailableError when the blob is best sent as one stream.
 */
export async function planBlob(input: PlanBlobInput): Promise<BlobPlan> {
  const { accessor, info } = input;
  if (accessor.rangeSupport.ranges === false) throw new PartialBlobUnavailableError('the source answers no ranges');
  try {
    const planned = info.size >= MIN_CHUNKED_BLOB ? await planChunked(input) : undefined;
    if (planned !== undefined) return planned;
  } catch (error) {
    if (error instanceof WholeBlobError) return { kind: 'whole', stream: error.stream };
    if (!(error instanceof BadPartialRequestError)) throw error;
    accessor.rangeSupport.ranges = false;
    throw new PartialBlobUnavailableError('the source refuses ranges', { cause: error });
  }
  if (info.size < MIN_RANGED_BLOB)
    throw new PartialBlobUnavailableError(`${info.digest} is small, and there are no pieces of it`);
  return { kind: 'plan', plan: fetchAll(info), oldBlobs: [], tail: undefined };
}

/** Everything from the source. */
export function fetchAll({ size }: BlobInfo): Plan {
  return planOf([{ kind: 'fetch', offset: 0, length: size }]);
}

/** Whether a layer says of itself that it has a table of contents worth reading. */
export function isAnnotatedChunked(info: BlobInfo): boolean {
  return info.size >= MIN_CHUNKED_BLOB && locateTail(info)?.format !== undefined;
}

async function planChunked(input: PlanBlobInput): Promise<BlobPlan | undefined> {
  const { accessor, info, signal } = input;
  const isAnnotated = isAnnotatedChunked(info);
  const all = await input.candidates();
  const chunked = all.filter((candidate) => candidate.isKnownChunked || isAnnotatedChunked(candidate.info));
  if (!isAnnotated && !chunked.some(({ isPredecessor }) => isPredecessor) && info.size < MIN_RANGED_BLOB)
    return undefined;
  const olds = await readOldTails(
    chunked.length > 0 ? chunked : all.filter(({ isPredecessor }) => isPredecessor),
    input,
  );
  if (olds.length === 0) return undefined;

  const tailGuess = Math.max(...olds.map(({ tail }) => tail.tailBytes.length));
  const tail = await readTail(takingWholeBlobs(accessor), info, { signal, tailGuess });
  if (tail === undefined) return undefined;
  accessor.rangeSupport.ranges = true;
  const plan = planFromTails({
    blobSize: info.size,
    tail,
    old: olds.map(({ old, tail: { pieces } }) => ({ digest: old.digest, tail: { pieces } })),
  });
  const gap = accessor.rangeSupport.multiRange === false ? SINGLE_RANGE_GAP_BYTES : MULTI_RANGE_GAP_BYTES;
  const coalesced = plan && coalesceFetches(plan, gap);
  if (coalesced !== undefined && isWorthwhile(coalesced))
    return { kind: 'plan', plan: coalesced, oldBlobs: olds.map(({ old }) => old), tail };
  // What was read of the tail is not fetched twice.
  const { offset, bytes } = tail.end;
  const before: Segment[] = offset === 0 ? [] : [{ kind: 'fetch', offset: 0, length: offset }];
  const rest = planOf([...before, { kind: 'have', offset, length: bytes.length, bytes }]);
  return { kind: 'plan', plan: rest, oldBlobs: [], tail };
}

async function readOldTails(
  candidates: readonly Candidate[],
  { own, signal }: PlanBlobInput,
): Promise<readonly { readonly old: BlobInfo; readonly tail: ChunkedTail }[]> {
  const read = candidates.slice(0, MAX_CANDIDATES).map(async ({ info: old }) => {
    try {
      const tail = await readTail(own, old, { signal });
      return tail === undefined ? [] : [{ old, tail }];
    } catch (error) {
      // A blob that is gone, or a destination that answers no ranges: no pieces from there.
      if (isGone(error) || error instanceof BadPartialRequestError) return [];
      throw error;
    }
  });
  return (await Promise.all(read)).flat();
}

function takingWholeBlobs(accessor: BlobChunkAccessor): BlobChunkAccessor {
  return {
    rangeSupport: accessor.rangeSupport,
    getBlobAt: (info, chunks, options) => accessor.getBlobAt(info, chunks, { ...options, takesWholeBlob: true }),
  };
}
