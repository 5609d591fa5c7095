import type { Readable } from 'node:stream';
import { PartialBlobUnavailableError } from '../../contract/errors.ts';
import { plannedBytes } from './planned-bytes.ts';
import { fetchAll, planBlob, type BlobPlan, type PlanBlobInput } from '../plan/plan-blob.ts';
import { complement, planFromOffset, planOf } from '../plan/segments.ts';
import type { BlobRange } from '../../contract/blob-chunk-accessor.ts';
import type { ChunkedTail } from '../toc/tail.ts';

export interface AssembleBlobInput extends PlanBlobInput {
  /** Bytes of the blob's front that are at the destination already. */
  readonly offset: number;
}

/** A blob that is being put together. Disposing of it ends all requests for it. */
export interface BlobAssembly extends AsyncDisposable {
  /** The blob from `offset` on; to be read once. */
  readonly bytes: AsyncGenerator<Buffer>;
  /** Where pieces of other blobs were used: sorted, and to be suspected when the digest is wrong. */
  readonly reused: () => readonly BlobRange[];
  /** The new blob's table of contents, where it was read. */
  readonly tail: ChunkedTail | undefined;
}

/**
 * Plans a blob, and puts it together from the destination's blobs and the source.
 * @throws PartialBlobUnavailableError when the blob is best sent as one stream.
 */
export async function assembleBlob(input: AssembleBlobInput): Promise<BlobAssembly> {
  const planned = await planOrRest(input);
  return planned.kind === 'whole' ? wholeBlob(planned.stream, input.offset) : assemblyOf(planned, input);
}

/** With some of the blob there, even a small rest is worth a range; and it is kept where ranges are refused. */
async function planOrRest(input: AssembleBlobInput): Promise<BlobPlan> {
  try {
    return await planBlob(input);
  } catch (error) {
    if (!(error instanceof PartialBlobUnavailableError) || input.offset === 0) throw error;
    return { kind: 'plan', plan: fetchAll(input.info), oldBlobs: [], tail: undefined, held: undefined };
  }
}

function assemblyOf(
  { plan: whole, oldBlobs, tail, held }: Extract<BlobPlan, { kind: 'plan' }>,
  input: AssembleBlobInput,
): BlobAssembly {
  const plan = planFromOffset(whole, input.offset);
  const fallbacks: BlobRange[] = [];
  const leave = new AbortController();
  const signal = input.signal === undefined ? leave.signal : AbortSignal.any([input.signal, leave.signal]);
  const bytes = plannedBytes(plan, { ...input, oldBlobs, signal }, (range) => fallbacks.push(range));
  return {
    bytes,
    tail,
    reused: () => complement(planOf(plan.segments.filter((one) => !fallbacks.some((range) => covers(range, one))))),
    async [Symbol.asyncDispose](): Promise<void> {
      leave.abort();
      await bytes.return(undefined);
      held?.[Symbol.dispose]();
    },
  };
}

function wholeBlob(stream: Readable, offset: number): BlobAssembly {
  const bytes = fromOffset(stream as AsyncIterable<Buffer>, offset);
  return {
    bytes,
    tail: undefined,
    reused: () => [],
    async [Symbol.asyncDispose](): Promise<void> {
      stream.on('error', () => undefined).destroy();
      await bytes.return(undefined);
    },
  };
}

async function* fromOffset(stream: AsyncIterable<Buffer>, offset: number): AsyncGenerator<Buffer> {
  let position = 0;
  for await (const bytes of stream) {
    const skipped = Math.min(bytes.length, Math.max(0, offset - position));
    position += bytes.length;
    if (skipped < bytes.length) yield bytes.subarray(skipped);
  }
}

function covers(outer: BlobRange, inner: BlobRange): boolean {
  return outer.offset <= inner.offset && inner.offset + inner.length <= outer.offset + outer.length;
}
