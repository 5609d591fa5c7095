import type { Semaphore } from '../io/semaphore.ts';
import { PartialBlobUnavailableError } from '../types/errors.ts';
import { assemble } from './assemble.ts';
import { fetchAll, planBlob, type BlobPlan, type PlanBlobInput } from './plan-blob.ts';
import { complement, planFromOffset, type ByteRange } from './segments.ts';
import type { ChunkedTail } from './tail.ts';

export interface AssembleBlobInput extends PlanBlobInput {
  readonly memory: Semaphore;
  /** Bytes of the blob's front that are at the destination already. */
  readonly offset: number;
}

/** A blob that is being put together. */
export interface BlobAssembly {
  /** The blob from `offset` on; to be read once, or returned. */
  readonly bytes: AsyncGenerator<Buffer>;
  /** Where pieces of other blobs were used: sorted, and to be suspected when the digest is wrong. */
  readonly reused: () => readonly ByteRange[];
  /** The new blob's table of contents, where it was read. */
  readonly tail: ChunkedTail | undefined;
}

/**
 * Plans a blob, and puts it together from the destination's blobs and the source.
 * @throws PartialBlobUnavailableError when the blob is best sent as one stream.
 */
export async function assembleBlob(input: AssembleBlobInput): Promise<BlobAssembly> {
  const { accessor, info, own, memory, signal, offset } = input;
  const planned = await planOrRest(input);
  if (planned.kind === 'whole') return { bytes: fromOffset(planned.stream, offset), reused: () => [], tail: undefined };
  const { oldBlobs, tail } = planned;
  const plan = planFromOffset(planned.plan, offset);
  const fallbacks: ByteRange[] = [];
  const sources = { accessor, info, own, oldBlobs, memory, signal };
  return {
    bytes: assemble(plan, sources, (range) => fallbacks.push(range)),
    reused: () => complement(plan).filter((range) => !fallbacks.some((other) => covers(other, range))),
    tail,
  };
}

/** With some of the blob there, even a small rest is worth a range. */
async function planOrRest(input: AssembleBlobInput): Promise<BlobPlan> {
  try {
    return await planBlob(input);
  } catch (error) {
    const { offset, accessor, info } = input;
    const isRest = error instanceof PartialBlobUnavailableError && offset > 0 && accessor.rangeSupport.ranges !== false;
    if (!isRest) throw error;
    return { kind: 'plan', plan: fetchAll(info), oldBlobs: [], tail: undefined };
  }
}

async function* fromOffset(stream: AsyncIterable<Buffer>, offset: number): AsyncGenerator<Buffer> {
  let position = 0;
  for await (const bytes of stream) {
    const skipped = Math.min(bytes.length, Math.max(0, offset - position));
    position += bytes.length;
    if (skipped < bytes.length) yield bytes.subarray(skipped);
  }
}

function covers(outer: ByteRange, inner: ByteRange): boolean {
  return outer.offset <= inner.offset && inner.offset + inner.length <= outer.offset + outer.length;
}
