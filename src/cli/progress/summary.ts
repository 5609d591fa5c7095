import { printable, type BlobOutcome, type CopyResult } from '../../index.ts';
import { count, formatBytes, formatDuration } from '../format.ts';
import type { BlobEnd } from './copy-state.ts';

/** What became of a blob, for people. */
export const OUTCOMES: Readonly<Record<BlobOutcome, string>> = {
  reused: 'already there',
  'left-out': 'left out',
  mounted: 'mounted',
  substituted: 'substituted',
  partial: 'partly reused',
  copied: 'copied',
};

/** What became of a blob: `copied`, `mounted from host/name`, `partly reused: 9.0 MB (90 %) reused, 1.0 MB downloaded`. */
export function describeEnd({ outcome, from, bytesFetched, bytesReused, bytesResumed }: BlobEnd): string {
  if (outcome !== 'partial') return `${OUTCOMES[outcome]}${from === undefined ? '' : ` from ${from}`}`;
  const downloaded = `${formatBytes(bytesFetched)} downloaded${from === undefined ? '' : ` from ${from}`}`;
  if (bytesResumed >= bytesReused) return `resumed at ${formatBytes(bytesResumed)}, ${downloaded}`;
  const share = Math.floor((bytesReused / Math.max(1, bytesReused + bytesFetched)) * 100);
  return `${OUTCOMES.partial}: ${formatBytes(bytesReused)} (${share} %) reused, ${downloaded}`;
}

/** A copy in one sentence. */
export function summarize(result: CopyResult): string {
  return printable(summarizeImage(result) + summarizeReferrers(result));
}

function summarizeReferrers({ referrers, skipped }: CopyResult): string {
  if (referrers === undefined || skipped === 'exists') return '';
  const { total, copied, missing } = referrers;
  const words = [
    [copied, 'copied'],
    [total - copied - missing, 'already there'],
    [missing, 'missing'],
  ] as const;
  const what = words.flatMap(([number, word]) => (number === 0 ? [] : [`${number} ${word}`])).join(', ');
  return `; ${count(total, 'referrer')}${what && `: ${what}`}`;
}

function summarizeImage(result: CopyResult): string {
  const { destination, skipped, blobs, bytes, durationMs, retries } = result;
  const time = formatDuration(durationMs);
  if (skipped === 'same') return `${destination} is already up to date (${time})`;
  if (skipped === 'exists') return `${destination} already exists; left unchanged (${time})`;
  if (blobs.total === 0)
    return `${destination}: only the tag was written; the repository already has the image (${time})`;
  const counts = [
    [blobs.copied, OUTCOMES.copied],
    [blobs.partial, OUTCOMES.partial],
    [blobs.mounted, OUTCOMES.mounted],
    [blobs.reused, OUTCOMES.reused],
    [blobs.leftOut ?? 0, OUTCOMES['left-out']],
  ] as const;
  const what = counts.flatMap(([number, word]) => (number === 0 ? [] : [`${number} ${word}`])).join(', ');
  const moved = `downloaded ${formatBytes(bytes.fetched)} of ${formatBytes(bytes.total)} in ${time}`;
  const trouble = retries === 0 ? '' : `, ${count(retries, 'retry', 'retries')}`;
  return `${destination}: ${count(blobs.total, 'blob')}: ${what}; ${moved}${trouble}`;
}
