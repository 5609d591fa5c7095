import { cpus, totalmem } from 'node:os';
import type { Medians, Run, Verdict } from './goals.ts';

export interface CaseReport {
  readonly name: string;
  readonly title: string;
  readonly runs: Readonly<Record<string, readonly Run[]>>;
  readonly medians: Medians;
  readonly verdict: Verdict | undefined;
}

/** One run, on a line. */
export function formatRun(tool: string, run: Run): string {
  const figures = [
    `${run.seconds.toFixed(3)} s`,
    `${run.cpuSeconds.toFixed(2)} s CPU`,
    `${megabytes(run.peakBytes)} MB`,
    run.fromSourceBytes === undefined ? '' : `${run.fromSourceBytes} bytes from the source`,
    run.toDestinationBytes === undefined ? '' : `${run.toDestinationBytes} bytes to the destination`,
  ];
  return `${tool.padEnd(8)} ${figures.filter((figure) => figure !== '').join(', ')}`;
}

/** What was measured on, without its name. */
export function describeMachine(): object {
  return {
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    memoryBytes: totalmem(),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
  };
}

/** A table of the verdicts, and one of the medians under each case. */
export function toMarkdown(cases: readonly CaseReport[]): string {
  const verdicts = cases.map(({ title, verdict }) => [
    title,
    verdict?.reached ?? '',
    verdict?.wanted ?? '',
    verdict === undefined ? '' : verdict.met ? 'yes' : 'no',
  ]);
  return [
    table(['case', 'reached', 'wanted', 'met'], verdicts),
    ...cases.map(({ title, runs, medians }) => `### ${title}\n\n${medianTable(medians, runs)}`),
  ].join('\n');
}

function medianTable(medians: Medians, runs: CaseReport['runs']): string {
  const rows = Object.entries(medians)
    .toSorted(([, a], [, b]) => a.seconds - b.seconds)
    .map(([tool, run]) => [
      tool,
      run.seconds.toFixed(3),
      spread(runs[tool] ?? []),
      run.cpuSeconds.toFixed(2),
      megabytes(run.peakBytes),
      count(run.fromSourceBytes),
      count(run.toDestinationBytes),
    ]);
  const head = ['tool', 'median s', 'min to max s', 'CPU s', 'peak MB', 'bytes from source', 'bytes to destination'];
  return table(head, rows);
}

function spread(runs: readonly Run[]): string {
  const seconds = runs.map((run) => run.seconds);
  return `${Math.min(...seconds).toFixed(3)} to ${Math.max(...seconds).toFixed(3)}`;
}

function count(bytes: number | undefined): string {
  return bytes === undefined ? '' : bytes.toLocaleString('en');
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  return `${lines.join('\n')}\n`;
}
