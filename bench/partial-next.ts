import type { FixtureFormat } from '../test/support/fixture-images.ts';
import { runCopy } from './partial-copy.ts';
import { countedRun, resetCounts, type PartialRun } from './partial-run.ts';
import { checkArrived, makeHome, placeFor, pushFixture, type Stage, type Target } from './partial-stage.ts';

export interface NextVersion {
  readonly format: FixtureFormat;
  readonly target: Target;
  /** Whether the second copy may build blobs from pieces. */
  readonly partial: 'auto' | 'never';
}

/**
 * Copies the first version of an image, and the second over it: that one is measured. It begins with an empty home, so what it
 * finds to reuse is what the destination holds.
 */
export async function copyNextVersion(stage: Stage, { format, target, partial }: NextVersion): Promise<PartialRun> {
  const v1 = await pushFixture(stage, format, 'v1');
  const v2 = await pushFixture(stage, format, 'v2');
  const destination = placeFor(stage, target, `${format}-${partial}`);
  const source = (path: string): string => `${stage.sourceHost}/${path}`;
  await runCopy({ job: { source: source(v1.path), destination }, home: await makeHome(stage) });

  resetCounts(stage);
  const job = { source: source(v2.path), destination };
  const copy = await runCopy({ job, home: await makeHome(stage), flags: [`--partial=${partial}`] });
  await checkArrived(stage, destination, v2);
  return countedRun(stage, v2, copy);
}
