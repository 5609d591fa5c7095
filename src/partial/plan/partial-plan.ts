import type { BlobInfo } from '../../contract/blob-info.ts';
import { PartialBlobUnavailableError } from '../../contract/errors.ts';
import type { PartialPlan, PlannedPiece } from '../../contract/image-destination.ts';
import { fetchAll, planBlob, type BlobPlan, type PlanBlobInput } from './plan-blob.ts';
import { planFromOffset, type Segment } from './segments.ts';

/** What an interrupted run left of a blob. */
export interface LeftPart {
  /** Bytes from the first one on, as far as is known: the part itself may have more. */
  readonly length: number;
}

/**
 * Plans a blob that a destination puts together itself.
 *
 * @param left  what an interrupted run left of it, if anything. Then even a small rest is worth a range.
 * @throws PartialBlobUnavailableError when the blob is best sent as one stream.
 */
export async function planPartial(input: PlanBlobInput, left: LeftPart | undefined): Promise<PartialBlobPlan> {
  const { info } = input;
  // With all of it there, nothing is worth a look.
  if (left?.length === info.size) return new PartialBlobPlan(info, undefined, left.length);
  try {
    return new PartialBlobPlan(info, await planBlob(input), left?.length ?? 0);
  } catch (error) {
    if (left === undefined || !(error instanceof PartialBlobUnavailableError)) throw error;
    return new PartialBlobPlan(info, undefined, left.length);
  }
}

/** A plan as `planBlobPartial` gives it: undefined where the blob is best sent as one stream. */
export async function planOrNone(planning: Promise<PartialBlobPlan>): Promise<PartialBlobPlan | undefined> {
  try {
    return await planning;
  } catch (error) {
    if (error instanceof PartialBlobUnavailableError) return undefined;
    throw error;
  }
}

/** Acts on the plan that `putBlobPartial` was given, or on one of its own. */
export async function withPlan<T>(
  given: PartialPlan | undefined,
  make: () => Promise<PartialBlobPlan>,
  act: (plan: PartialBlobPlan) => Promise<T>,
): Promise<T> {
  if (given instanceof PartialBlobPlan) return await act(given);
  using own = await make();
  return await act(own);
}

/** Where the bytes of a blob come from, and what was read of it to find that out. */
export class PartialBlobPlan implements PartialPlan {
  readonly pieces: readonly PlannedPiece[];
  readonly bytesToFetch: number;
  readonly bytesReused: number;
  readonly bytesResumed: number;
  #blob: BlobPlan | undefined;

  /** @param blob  undefined: it is only worth while to complete what is there. */
  constructor(info: BlobInfo, blob: BlobPlan | undefined, bytesResumed: number) {
    this.#blob = blob;
    const rest = planFromOffset(blob?.kind === 'plan' ? blob.plan : fetchAll(info), bytesResumed);
    const resumed: readonly PlannedPiece[] =
      bytesResumed === 0 ? [] : [{ kind: 'resume', offset: 0, length: bytesResumed }];
    this.pieces = [...resumed, ...rest.segments.map(pieceOf)];
    this.bytesToFetch = rest.bytesFetched;
    this.bytesReused = rest.bytesReused;
    this.bytesResumed = bytesResumed;
  }

  /** What to do. A stream that has begun can be had once; undefined when it is spent, or there is only a rest to be fetched. */
  take(): BlobPlan | undefined {
    const blob = this.#blob;
    if (blob?.kind === 'whole') this.#blob = undefined;
    return blob;
  }

  [Symbol.dispose](): void {
    const blob = this.take();
    this.#blob = undefined;
    if (blob?.kind === 'whole') blob.stream.on('error', () => undefined).destroy();
    else blob?.held?.[Symbol.dispose]();
  }
}

function pieceOf(segment: Segment): PlannedPiece {
  const { kind, offset, length } = segment;
  return kind === 'reuse' ? { kind, offset, length, blob: segment.blob } : { kind: 'fetch', offset, length };
}
