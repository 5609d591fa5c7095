import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Digest } from '../src/digest/digest.ts';
import { partialName, sizeOf } from '../test/integration/interruptions.ts';
import { killCopy, runCopy } from './partial-copy.ts';
import { countedRun, receivedBytesOf, resetCounts, type PartialRun } from './partial-run.ts';
import { checkArrived, makeHome, placeFor, pushLargeLayer, type Stage, type Target } from './partial-stage.ts';

export interface CutCopy {
  readonly killed: PartialRun;
  /** The same copy, run again. */
  readonly again: PartialRun;
  /** The part of the layer that the destination had received when the first copy was killed. */
  readonly killedAt: number;
}

const layerBytes = 200e6;
const cutAt = 0.7;
const pollMs = 5;

/** Copies an image of one large layer, kills the copy when the destination has received 70 % of it, and runs it again. */
export async function cutAndGoOn(stage: Stage, target: Target): Promise<CutCopy> {
  const image = await pushLargeLayer(stage, 'cut', layerBytes);
  const destination = placeFor(stage, target, 'cut');
  // Both copies are the same user's: an upload is found again by what the home holds.
  const copying = { job: { source: `${stage.sourceHost}/${image.path}`, destination }, home: await makeHome(stage) };
  const received = (): Promise<number> =>
    'folder' in destination
      ? sizeOf(join(destination.folder, partialName(image.layer.digest as Digest)))
      : Promise.resolve(receivedBytesOf(stage.destination.proxy));

  resetCounts(stage);
  let killedAt = 0;
  const killed = await killCopy(copying, async (signal) => {
    for (; killedAt < cutAt; killedAt = (await received()) / image.layer.size)
      await sleep(pollMs, undefined, { signal });
  });
  const killedRun = countedRun(stage, image, killed);

  resetCounts(stage);
  const again = await runCopy(copying);
  await checkArrived(stage, destination, image);
  return { killed: killedRun, again: countedRun(stage, image, again), killedAt };
}
