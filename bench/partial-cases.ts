import type { FixtureFormat } from '../test/support/fixture-images.ts';
import type { Run, Verdict } from './goals.ts';
import { cutAndGoOn } from './partial-cut.ts';
import { copyOverLongLine } from './partial-link.ts';
import { copyNextVersion } from './partial-next.ts';
import { shareFromSource, type PartialRun } from './partial-run.ts';
import type { RegistryKind, Stage, Target } from './partial-stage.ts';

/** Hears of every run, as it ends, what it was. */
export type OnRun = (name: string, run: Run | PartialRun) => void;

export interface PartialCase {
  readonly name: string;
  readonly title: string;
  readonly wanted: string;
  /** Whether its layers have a table of contents that both sides know of. */
  readonly isChunked?: boolean;
  /** Runs it on the stages that it is about. @throws Error when a copy fails, or leaves another image than the source's. */
  readonly run: (stages: readonly Stage[], onRun: OnRun) => Promise<Omit<Verdict, 'wanted'>>;
}

const targets: readonly Target[] = ['dir:', 'registry'];

/** What is measured, and what is wanted of it. */
export const partialCases: readonly PartialCase[] = [
  nextVersion('zstdchunked', 0.4),
  nextVersion('estargz', 0.61),
  nextVersion('zstdchunked-old', 0.395),
  withoutPieces('gzip'),
  cut({ name: 'cut-dir', title: 'into dir:', target: 'dir:', most: 0.31 }),
  cut({ name: 'cut-3', title: 'into a registry that keeps the upload', target: 'registry', kind: '3', most: 0.35 }),
  cut({ name: 'cut-2.8', title: 'into a registry that forgets it', target: 'registry', kind: '2.8', most: 1 }),
  overLongLine(5),
];

function nextVersion(format: FixtureFormat, most: number): PartialCase {
  return {
    name: `next-${format}`,
    title: `${format} v1 to v2, of the app layer from the source`,
    wanted: `at most ${percent(most)}`,
    isChunked: true,
    run: async (stages, onRun) => {
      const runs: PartialRun[] = [];
      for (const stage of stages) {
        for (const target of targets) {
          const run = await copyNextVersion(stage, { format, target, partial: 'auto' });
          onRun(`imgcopy, ${format}, ${stage.kind} to ${target}`, run);
          runs.push(run);
        }
      }
      return { reached: bothCounts(runs), met: runs.every((run) => shareFromSource(run) <= most) };
    },
  };
}

/** There is nothing to reuse, and finding that out is to cost nothing. */
function withoutPieces(format: FixtureFormat): PartialCase {
  return {
    name: `next-${format}`,
    title: `${format} v1 to v2, of the app layer from the source`,
    wanted: 'at most 100 %, and no request more than --partial=never',
    run: async (stages, onRun) => {
      const runs: PartialRun[] = [];
      const requests: string[] = [];
      let met = true;
      for (const stage of stages) {
        for (const target of targets) {
          const plain = await copyNextVersion(stage, { format, target, partial: 'never' });
          const run = await copyNextVersion(stage, { format, target, partial: 'auto' });
          const name = `${stage.kind} to ${target}`;
          onRun(`imgcopy --partial=never, ${format}, ${name}`, plain);
          onRun(`imgcopy, ${format}, ${name}`, run);
          runs.push(run);
          requests.push(`${run.requests} for ${plain.requests}`);
          met &&= shareFromSource(run) <= 1 && run.requests <= plain.requests;
        }
      }
      return { reached: `${bothCounts(runs)}; requests: ${requests.join(', ')}`, met };
    },
  };
}

interface CutCase {
  readonly name: string;
  readonly title: string;
  readonly target: Target;
  /** Default: all. */
  readonly kind?: RegistryKind;
  /** The part of the layer that the second copy may fetch. */
  readonly most: number;
}

function cut({ name, title, target, kind, most }: CutCase): PartialCase {
  return {
    name,
    title: `200 MB layer killed at 70 %, run again ${title}`,
    wanted: `at most ${percent(most)}`,
    run: async (stages, onRun) => {
      const reached: string[] = [];
      let met = true;
      for (const stage of stages.filter((one) => kind === undefined || one.kind === kind)) {
        const { killed, killedAt, again } = await cutAndGoOn(stage, target);
        onRun(`imgcopy, killed, ${stage.kind} to ${target}`, killed);
        onRun(`imgcopy, run again, ${stage.kind} to ${target}`, again);
        reached.push(`${stage.kind}: killed at ${percent(killedAt)}, then ${bothCounts([again])}`);
        met &&= shareFromSource(again) <= most;
      }
      return { reached: reached.join('; '), met };
    },
  };
}

function overLongLine(times: number): PartialCase {
  return {
    name: 'slow-link',
    title: '256 MB layer, source behind 80 ms and 12 MB/s a connection',
    wanted: `at least ${times} times as fast as one connection`,
    run: async (stages, onRun) => {
      const reached: string[] = [];
      let met = true;
      for (const stage of stages) {
        const { oneConnection, copies } = await copyOverLongLine(stage);
        onRun(`one connection, ${stage.kind}`, oneConnection);
        for (const target of targets) {
          const copy = copies[target];
          onRun(`imgcopy, slow link, ${stage.kind} to ${target}`, copy);
          const ratio = oneConnection.seconds / copy.seconds;
          const seconds = `${copy.seconds.toFixed(1)} s for ${oneConnection.seconds.toFixed(1)} s`;
          reached.push(`${stage.kind} to ${target} ${ratio.toFixed(1)}x (${seconds})`);
          met &&= ratio >= times;
        }
      }
      return { reached: reached.join(', '), met };
    },
  };
}

/** How much of the layer came from the source: by imgcopy's count, and by that of who stood before the source. */
function bothCounts(runs: readonly PartialRun[]): string {
  const own = runs.map(({ fetchedBytes = NaN, layerBytes }) => fetchedBytes / layerBytes);
  const counted = runs.map(({ fromSourceBytes, layerBytes }) => fromSourceBytes / layerBytes);
  return `${range(own)} by its own count, ${range(counted)} by the source's`;
}

function range(shares: readonly number[]): string {
  const [least, most] = [percent(Math.min(...shares)), percent(Math.max(...shares))];
  return least === most ? most : `${least} to ${most}`;
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(2))} %`;
}
