import type { Readable } from 'node:stream';
import { PartialBlobUnavailableError } from '../../contract/errors.ts';
import { plannedBytes, type PieceSources } from './planned-bytes.ts';
import type { PartialBlobPlan } from '../plan/partial-plan.ts';
import { fetchAll, type BlobPlan } from '../plan/plan-blob.ts';
import { complement, planFromOffset, planOf } from '../plan/segments.ts';
import type { BlobRange } from '../../contract/blob-chunk-accessor.ts';
import type { ChunkedTail } from '../toc/tail.ts';

export interface AssembleBlobInput extends Omit<PieceSources, 'oldBlobs'> {
  readonly plan: PartialBlobPlan;
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
 * Puts a blob together, as it was planned, from the destination's blobs and the source.
 * @throws PartialBlobUnavailableError when the blob is best sent as one stream.
 */
export function assembleBlob(input: AssembleBlobInput): BlobAssembly {
  const planned = input.plan.take() ?? restOf(input);
  return planned.kind === 'whole' ? wholeBlob(planned.stream, input.offset) : assemblyOf(planned, input);
}

/** With some of the blob there, even a small rest is worth a range; and it is kept where ranges are refused. */
function restOf({ info, offset }: AssembleBlobInput): BlobPlan {
  if (offset === 0) throw new PartialBlobUnavailableError('there is nothing of the blob to continue');
  return { kind: 'plan', plan: fetchAll(info), oldBlobs: [], tail: undefined, held: undefined };
}

function assemblyOf(
  { plan: whole, oldBlobs, tail }: Extract<BlobPlan, { kind: 'plan' }>,
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
