import { digestOf } from '../../../src/digest/digest.ts';
import type { CopyEvent } from '../../../src/index.ts';

type Started = Extract<CopyEvent, { type: 'blob-started' }>;
type Done = Extract<CopyEvent, { type: 'blob-done' }>;

/** The event of a layer's start; the number makes its digest. */
export function blobStarted(number: number, size: number): Started {
  return { type: 'blob-started', digest: digestOf(Buffer.from(`${number}`)), size, name: 'layer' };
}

export function blobDone(
  number: number,
  size: number,
  end: Partial<Pick<Done, 'outcome' | 'bytesFetched' | 'bytesReused' | 'bytesResumed' | 'from'>> = {},
): Done {
  const { digest } = blobStarted(number, size);
  return {
    type: 'blob-done',
    digest,
    size,
    outcome: 'copied',
    bytesFetched: 0,
    bytesReused: 0,
    bytesResumed: 0,
    ...end,
  };
}
