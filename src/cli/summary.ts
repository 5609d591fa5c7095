import type { CopyResult } from '../index.ts';
import { formatBytes, formatDuration } from './values.ts';

/** A copy in one sentence. */
export function summarize({ destination, skipped, blobs, bytes, durationMs, retries }: CopyResult): string {
  if (skipped === 'same') return `${destination} has this image already (${formatDuration(durationMs)})`;
  if (skipped === 'exists') return `${destination} exists and is left alone (${formatDuration(durationMs)})`;
  const counts = [
    [blobs.copied, 'copied'],
    [blobs.partial, 'built from pieces'],
    [blobs.mounted, 'mounted'],
    [blobs.reused, 'there already'],
  ] as const;
  const what = counts.flatMap(([count, word]) => (count === 0 ? [] : [`${count} ${word}`])).join(', ');
  const moved = `${formatBytes(bytes.fetched)} fetched of ${formatBytes(bytes.total)}`;
  const trouble = retries === 0 ? '' : `, ${retries} ${retries === 1 ? 'retry' : 'retries'}`;
  return `${blobs.total} blobs: ${what}; ${moved} in ${formatDuration(durationMs)}${trouble}`;
}
