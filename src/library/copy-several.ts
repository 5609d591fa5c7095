import type { ImageDestination } from '../contract/image-destination.ts';
import type { ImageSource } from '../contract/image-source.ts';
import { nowMs } from '../io/clock.ts';
import { copyToOpen } from './copy.ts';
import { eachDestination } from './each-destination.ts';
import type { CopyOptions, DestinationOutcome } from './options.ts';
import type { SharedResources } from './shared-resources.ts';

/** See Copier.copy. */
export async function copyToSeveral(
  shared: SharedResources,
  from: string | ImageSource,
  to: readonly (string | ImageDestination)[],
  options: Omit<CopyOptions, 'destinationId'>,
): Promise<readonly DestinationOutcome[]> {
  const started = nowMs();
  const outcomes = await eachDestination(
    shared,
    { from, to, isDryRun: false },
    options,
    async ({ job, ends }, run, leftOut) => {
      const copied = await copyToOpen(job, ends, run, leftOut);
      return { ...copied, durationMs: Math.round(nowMs() - started) };
    },
  );
  return outcomes.map((outcome) =>
    outcome.error === undefined
      ? { destinationId: outcome.id, result: outcome.value }
      : { destinationId: outcome.id, error: outcome.error },
  );
}
