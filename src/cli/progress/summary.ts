import type { BlobOutcome, CopyResult } from '../../index.ts';
import { count, formatBytes, formatDuration, printable } from '../format.ts';

/** What became of a blob, for people. */
export const OUTCOMES: Readonly<Record<BlobOutcome, string>> = {
  reused: 'there already',
  mounted: 'mounted',
  substituted: 'substituted',
  partial: 'built from pieces',
  copied: 'copied',
};

/** A copy in one sentence. */
export function summarize(result: CopyResult): string {
  const { destination, skipped, blobs, bytes, durationMs, retries } = result;
  const time = formatDuration(durationMs);
  if (skipped === 'same') return printable(`${destination} has this image already (${time})`);
  if (skipped === 'exists') return printable(`${destination} exists and is left alone (${time})`);
  const counts = [
    [blobs.copied, OUTCOMES.copied],
    [blobs.partial, OUTCOMES.partial],
    [blobs.mounted, OUTCOMES.mounted],
    [blobs.reused, OUTCOMES.reused],
  ] as const;
  const what = counts.flatMap(([number, word]) => (number === 0 ? [] : [`${number} ${word}`])).join(', ');
  const moved = `${formatBytes(bytes.fetched)} fetched of ${formatBytes(bytes.total)}`;
  const trouble = retries === 0 ? '' : `, ${count(retries, 'retry', 'retries')}`;
  return printable(`${destination}: ${count(blobs.total, 'blob')}: ${what}; ${moved} in ${time}${trouble}`);
}
