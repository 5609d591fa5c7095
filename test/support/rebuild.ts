import type { Digest } from '../../src/digest/digest.ts';
import type { Plan } from '../../src/partial/plan/segments.ts';

/** Carries a plan out in memory. @param source  the new blob, of which only what is to be fetched is used. */
export function rebuild(plan: Plan, source: Buffer, old: ReadonlyMap<Digest, Buffer>): Buffer {
  const parts = plan.segments.map((segment) => {
    if (segment.kind === 'have') return segment.bytes;
    if (segment.kind === 'fetch') return source.subarray(segment.offset, segment.offset + segment.length);
    const blob = old.get(segment.blob);
    if (blob === undefined) throw new Error(`${segment.blob} is not among the old blobs`);
    return blob.subarray(segment.blobOffset, segment.blobOffset + segment.length);
  });
  return Buffer.concat(parts);
}
