import type { Readable } from 'node:stream';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import type { MemoryAccount, MemoryShare } from '../../io/memory.ts';
import type { BlobChunkAccessor, UnansweredRanges } from '../../contract/blob-chunk-accessor.ts';
import type { BlobInfo, WaitOptions } from '../../contract/blob-info.ts';
import { PartialBlobUnavailableError } from '../../contract/errors.ts';
import { BudgetedAccessor, TailMemory } from '../toc/budgeted-accessor.ts';
import { learnRefusal } from '../fetch/refused-ranges.ts';
import { isWorthwhile, planFromTails } from './plan-from-tails.ts';
import { dropWhole } from '../fetch/range-request.ts';
import {
  coalesceFetches,
  MULTI_RANGE_GAP_BYTES,
  planOf,
  SINGLE_RANGE_GAP_BYTES,
  type Plan,
  type Segment,
} from './segments.ts';
import type { ChunkedFormat } from '../../manifest/layer-compression.ts';
import { locateTail, readTail, type ChunkedTail } from '../toc/tail.ts';

/** A blob of the destination that may hold pieces of a new one. */
export interface Candidate {
  readonly info: BlobInfo;
  /** Whether it is the layer at the new blob's place. */
  readonly isPredecessor: boolean;
  /** Whether it is known to have a table of contents, although its annotations do not say so. */
  readonly isKnownChunked: boolean;
}

export interface PlanBlobInput extends WaitOptions {
  /** Of the blob. */
  readonly memory: MemoryAccount;
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
      /** The memory of the bytes that are there already; to be disposed of. */
      readonly held: MemoryShare | undefined;
    }
  | { readonly kind: 'whole'; readonly stream: Readable };

/** Tables of contents of smaller layers take more time than they save, in bytes. */
export const MIN_CHUNKED_BLOB: number = 1024 * 1024;
/** From here on a blob is fetched by ranges in any case, in bytes. */
export const MIN_RANGED_BLOB: number = 16 * 1024 * 1024;
/** How often a plan is begun again with more memory, when tables of contents turn out larger than expected. */
const MAX_PLANNINGS = 3;
/** Old blobs whose tables of contents are read. */
const MAX_CANDIDATES = 4;

/**
 * Plans a blob: out of pieces of the destination's blobs where it is a chunked layer, else by ranges.
 * @throws PartialBlobUnavailableError when the blob is best sent as one stream.
 */
export async function planBlob(input: PlanBlobInput): Promise<BlobPlan> {
  const { accessor, info } = input;
  if (accessor.rangeSupport.ranges === false) throw new PartialBlobUnavailableError('the source answers no ranges');
  const planned = info.size >= MIN_CHUNKED_BLOB ? await planChunked(input) : undefined;
  if (planned?.kind === 'whole' || planned?.kind === 'refused') learnRefusal(accessor.rangeSupport, planned);
  if (planned?.kind === 'refused')
    throw new PartialBlobUnavailableError('the source refuses ranges', { cause: planned.reason });
  if (planned !== undefined) return planned;
  if (info.size < MIN_RANGED_BLOB)
    throw new PartialBlobUnavailableError(`${info.digest} is small, and there are no pieces of it`);
  return { kind: 'plan', plan: fetchAll(info), oldBlobs: [], tail: undefined, held: undefined };
}

/** Everything from the source. */
export function fetchAll({ size }: BlobInfo): Plan {
  return planOf([{ kind: 'fetch', offset: 0, length: size }]);
}

/** How a layer that says of itself that it has a table of contents worth reading is made; undefined where it does not say so. */
export function annotatedFormat(info: BlobInfo): ChunkedFormat | undefined {
  return info.size >= MIN_CHUNKED_BLOB ? locateTail(info)?.format : undefined;
}

export function isAnnotatedChunked(info: BlobInfo): boolean {
  return annotatedFormat(info) !== undefined;
}

/** What is known of a plan, should the source not answer the ranges that it needs. */
type Planned = BlobPlan | UnansweredRanges | undefined;

async function planChunked(input: PlanBlobInput): Promise<Planned> {
  const { accessor, info, own, memory, signal } = input;
  // Next to a source that is at hand, no other place gives pieces sooner.
  if (accessor.rangeSupport.isLocal || own.rangeSupport.ranges === false) return undefined;
  let candidates = await promising(input);
  let wanted = expectedMemory([info, ...candidates]);
  while (candidates.length > 0 && wanted > memory.most) {
    candidates = candidates.slice(0, -1);
    wanted = expectedMemory([info, ...candidates]);
  }
  for (let attempt = 0; candidates.length > 0 && attempt < MAX_PLANNINGS; attempt += 1) {
    const share = await memory.take(wanted, { signal });
    if (share === undefined) return undefined;
    const room = new TailMemory(share);
    let planned: Planned;
    try {
      planned = await planFrom(candidates, input, room, share);
      if (planned !== undefined || !room.isShort || room.wanted > memory.most) return planned;
    } finally {
      if (planned?.kind !== 'plan') share[Symbol.dispose]();
    }
    // Nobody waits with memory in hand: what was read is read again, once there is room for all of it.
    wanted = room.wanted;
  }
  return undefined;
}

/** The memory that tables of contents will take by what is known of them now, in bytes. */
function expectedMemory(blobs: readonly BlobInfo[]): number {
  const bytes = blobs.reduce((sum, info) => sum + info.size - (locateTail(info)?.offset ?? info.size), 0);
  return TailMemory.weightOf(bytes);
}

/** @param share  the memory of all tables of contents; what is left of it when there is a plan is that of the blob's end. */
async function planFrom(
  candidates: readonly BlobInfo[],
  input: PlanBlobInput,
  room: TailMemory,
  share: MemoryShare,
): Promise<Planned> {
  const { accessor, info, signal } = input;
  const olds = await readOldTails(candidates, input, room);
  if (olds.length === 0) return undefined;

  const tailGuess = Math.max(...olds.map(({ tailLength }) => tailLength));
  const tail = await readTail(new BudgetedAccessor(accessor, room), info, { signal, tailGuess });
  if (tail !== undefined && 'kind' in tail) return tail;
  if (tail === undefined || !room.hasRoomFor(tail.pieces.length, tail.end.bytes.length)) return undefined;
  accessor.rangeSupport.report({ ranges: true });
  const plan = planFromTails({
    blobSize: info.size,
    tail,
    old: olds.map(({ old, pieces }) => ({ digest: old.digest, tail: { pieces } })),
  });
  const gap = accessor.rangeSupport.multiRange === false ? SINGLE_RANGE_GAP_BYTES : MULTI_RANGE_GAP_BYTES;
  const coalesced = plan && coalesceFetches(plan, gap);
  share.shrinkTo(tail.end.bytes.length);
  if (coalesced !== undefined && isWorthwhile(coalesced))
    return { kind: 'plan', plan: coalesced, oldBlobs: olds.map(({ old }) => old), tail, held: share };
  // What was read of the tail is not fetched twice.
  const { offset, bytes } = tail.end;
  const before: Segment[] = offset === 0 ? [] : [{ kind: 'fetch', offset: 0, length: offset }];
  const rest = planOf([...before, { kind: 'have', offset, length: bytes.length, bytes }]);
  return { kind: 'plan', plan: rest, oldBlobs: [], tail, held: share };
}

/** Old blobs whose tables of contents are worth a look: none where the new blob gives no reason to believe that it has one. */
async function promising({ info, candidates }: PlanBlobInput): Promise<readonly BlobInfo[]> {
  const all = await candidates();
  const chunked = all.filter((candidate) => candidate.isKnownChunked || isAnnotatedChunked(candidate.info));
  const predecessors = all.filter(({ isPredecessor }) => isPredecessor);
  const mayBeChunked =
    isAnnotatedChunked(info) ||
    info.size >= MIN_RANGED_BLOB ||
    predecessors.some((candidate) => chunked.includes(candidate));
  if (!mayBeChunked) return [];
  return (chunked.length > 0 ? chunked : predecessors).slice(0, MAX_CANDIDATES).map((candidate) => candidate.info);
}

interface OldTail {
  readonly old: BlobInfo;
  readonly pieces: ChunkedTail['pieces'];
  /** In bytes. */
  readonly tailLength: number;
}

async function readOldTails(
  blobs: readonly BlobInfo[],
  input: PlanBlobInput,
  room: TailMemory,
): Promise<readonly OldTail[]> {
  const read = blobs.map(async (old) => {
    const tail = await readOldTail(old, input, room);
    return tail === undefined ? [] : [{ old, pieces: tail.pieces, tailLength: tail.tailBytes.length }];
  });
  return (await Promise.all(read)).flat();
}

/** Pieces are a help, not a need: of a blob that cannot be read there are none. */
async function readOldTail(
  old: BlobInfo,
  { own, signal }: PlanBlobInput,
  room: TailMemory,
): Promise<ChunkedTail | undefined> {
  try {
    const tail = await readTail(new BudgetedAccessor(own, room), old, { signal });
    if (tail !== undefined && 'kind' in tail) {
      if (tail.kind === 'whole') own.rangeSupport.report({ ranges: false });
      dropWhole(tail);
      return undefined;
    }
    return tail && room.hasRoomFor(tail.pieces.length, tail.end.bytes.length) ? tail : undefined;
  } catch (error) {
    if (error instanceof ImgcopyError) return undefined;
    throw error;
  }
}
