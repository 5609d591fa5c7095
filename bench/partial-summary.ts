import type { Run } from './goals.ts';
import type { PartialRun } from './partial-run.ts';
import type { CaseReport } from './report.ts';

/** A run, and what it was. */
export type NamedRun = readonly [name: string, run: Run | PartialRun];

/** What a case came to: each of its runs is its own median. */
export function reportOf(
  { name, title }: Pick<CaseReport, 'name' | 'title'>,
  runs: readonly NamedRun[],
  verdict: CaseReport['verdict'],
): CaseReport {
  const lists = Object.fromEntries(runs.map(([of, run]) => [of, [run]]));
  return { name, title, runs: lists, medians: Object.fromEntries(runs), verdict };
}

/** The copy that asked the source most often for a chunked layer. Undefined without any. */
export function mostRequests(runs: readonly NamedRun[], most: number): CaseReport | undefined {
  const requests = ([, run]: NamedRun): number => ('layerRequests' in run ? (run.layerRequests ?? 0) : 0);
  const worst = runs.toSorted((a, b) => requests(b) - requests(a))[0];
  if (worst === undefined) return undefined;
  return reportOf({ name: 'requests', title: 'requests to the source for a chunked layer' }, [worst], {
    reached: `${requests(worst)} (${worst[0]})`,
    wanted: `at most ${most}`,
    met: requests(worst) <= most,
  });
}

/** The copies that were too large in memory, or else the largest, in megabytes of a million bytes. Undefined without any. */
export function largestMemory(runs: readonly NamedRun[], megabytes: number): CaseReport | undefined {
  const bySize = runs.toSorted(([, a], [, b]) => b.peakBytes - a.peakBytes);
  const largest = bySize[0];
  if (largest === undefined) return undefined;
  const tooLarge = bySize.filter(([, { peakBytes }]) => peakBytes > megabytes * 1e6);
  const [name, { peakBytes }] = largest;
  const report = { name: 'memory', title: 'resident memory in all of these' };
  return reportOf(report, tooLarge.length > 0 ? tooLarge : [largest], {
    reached: `${(peakBytes / 1e6).toFixed(0)} MB (${name}), over the bound in ${tooLarge.length} of ${runs.length}`,
    wanted: `at most ${megabytes} MB`,
    met: tooLarge.length === 0,
  });
}
