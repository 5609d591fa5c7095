import {
  duringOperation,
  ImgcopyError,
  planCopy,
  printable,
  printableJson,
  type CopierOptions,
  type CopyOptions,
  type CopyPlan,
  type PlannedBlob,
  type PlannedManifest,
  type PlannedTogether,
  type PlanOutcome,
} from '../index.ts';
import type { CommandContext } from './command-context.ts';
import { errorOf, optionsOf, type CopyFlags } from './copy-command.ts';
import { reportFailures } from './copy-several-command.ts';
import { logRequest } from './debug-log.ts';
import { endpointsOf } from './endpoint-flags.ts';
import { ReportedFailure } from './error-report.ts';
import { count, formatBytes, formatDuration, forTerminal, shortDigest } from './format.ts';
import { openProgress } from './progress/open-progress.ts';
import type { Progress } from './progress/progress.ts';
import { drawTable } from './table.ts';
import { withTimeLimit } from './time-limit.ts';

/** imgcopy --dry-run SRC DST: what a copy would do, on standard output. */
export async function runDryRun(
  source: string,
  destination: string,
  flags: CopyFlags,
  context: CommandContext,
): Promise<void> {
  const { isJson, options, progress } = await openDryRun(flags, context);
  let plan: CopyPlan;
  try {
    plan = await withTimeLimit(flags, context.signal, (signal) =>
      planCopy(source, destination, { ...options, signal }),
    );
  } catch (error) {
    const failure = duringPlanning(error, source, destination);
    progress.fail(failure);
    throw failure;
  }
  const text = isJson ? printableJson(plan) : drawPlan(plan).join('\n');
  process.stdout.write(`${forTerminal(text)}\n`);
}

/** imgcopy --dry-run SRC DST DST2 …: a table for each destination, in the order given, and what all of them come to; or a line of JSON for each. */
export async function runDryRunOfSeveral(
  source: string,
  destinations: readonly string[],
  flags: CopyFlags,
  context: CommandContext,
): Promise<void> {
  const { isJson, options, progress } = await openDryRun(flags, context);
  let outcomes: readonly PlanOutcome[];
  try {
    outcomes = await withTimeLimit(flags, context.signal, (signal) =>
      planCopy(source, destinations, { ...options, signal }),
    );
  } catch (error) {
    progress.fail(error);
    throw error;
  }
  const lines = isJson ? outcomes.map((outcome) => jsonOf(outcome, source)) : drawPlans(outcomes);
  process.stdout.write(lines.map((line) => `${forTerminal(line)}\n`).join(''));
  const { debug = false } = flags;
  const status = reportFailures(outcomes, { debug, explain: (error, to) => duringPlanning(error, source, to) });
  if (status !== undefined) throw new ReportedFailure(status);
}

interface OpenDryRun {
  readonly isJson: boolean;
  readonly options: CopyOptions & CopierOptions;
  readonly progress: Progress;
}

/** Checks what the flags say together. */
export async function openDryRun(flags: CopyFlags, { signal, transports }: CommandContext): Promise<OpenDryRun> {
  const isJson = flags.json === true || flags.output === 'json';
  if (flags.output !== undefined && !isJson) throw noOutputForm(flags.output);
  const endpoints = await endpointsOf(flags, signal);
  const { verbose = false, debug = false } = flags;
  const progress = await openProgress(progressMode(flags), { verbose, debug });
  return {
    isJson,
    progress,
    options: {
      ...endpoints,
      ...optionsOf(flags),
      transports,
      onEvent: (event) => {
        if (['warning', 'retry', 'fallback'].includes(event.type)) progress.show(event);
      },
      onWarning: progress.warn,
      ...(debug && { onRequest: logRequest }),
    },
  };
}

function duringPlanning(error: unknown, source: string, destination: string): unknown {
  const isBare = error instanceof ImgcopyError && error.kind !== 'usage' && !(error.cause instanceof ImgcopyError);
  return isBare ? duringOperation(`planning a copy of ${source} to ${destination}`, error) : error;
}

function jsonOf({ destinationId, plan, error }: PlanOutcome, source: string): string {
  if (plan === undefined) return printableJson({ source, destination: destinationId, error: errorOf(error) });
  const { destinationId: _sameAsDestination, ...shown } = plan;
  return printableJson(shown);
}

function drawPlans(outcomes: readonly PlanOutcome[]): readonly string[] {
  const plans = outcomes.flatMap(({ plan }) => (plan === undefined ? [] : [plan]));
  const [together] = plans.flatMap((plan) => plan.together ?? []);
  const tables = plans.flatMap((plan) => [...drawPlan(plan), '']);
  if (together === undefined) return tables.slice(0, -1);
  return [
    ...tables,
    `all ${plans.length} destinations together, each byte of the source read once:`,
    '',
    ...drawTotals(together),
  ];
}

/** There is nothing to be drawn over: only what goes wrong is told. */
function progressMode({ quiet, progress }: CopyFlags): 'none' | 'json' | 'plain' {
  if (quiet || progress === 'none') return 'none';
  return progress === 'json' ? 'json' : 'plain';
}

function noOutputForm(form: string): ImgcopyError {
  return new ImgcopyError(`--dry-run has no --output ${form}`, {
    code: 'ERR_USAGE',
    kind: 'usage',
    hint: 'leave out --output for a table, or use --json',
  });
}

/** A plan as lines for people. */
function drawPlan(plan: CopyPlan): readonly string[] {
  const { source, destination } = plan;
  const rows = [...plan.manifests.map(manifestRow), ...plan.blobs.map(blobRow)];
  return [
    printable(`dry run: ${source} to ${destination}, nothing is written`),
    ...(rows.length === 0 ? [] : ['', ...drawTable(['WHAT', 'DIGEST', 'SIZE', 'ACTION'], rows, { right: [2] })]),
    '',
    ...drawTotals(plan),
    ...declinedLine(mountsOf(plan.blobs)),
  ];
}

/** What a copy costs, or several together. */
export function drawTotals({ bytes, requests, leastDurationMs }: PlannedTogether): readonly string[] {
  return drawTable(undefined, [
    ['from the source', formatBytes(bytes.fetched)],
    ['to the destination', formatBytes(bytes.uploaded)],
    ['requests', `about ${requests.source} to the source, ${requests.destination} to the destination`],
    ...(leastDurationMs === null ? [] : [['time', `at least ${formatDuration(leastDurationMs)} at --limit-rate`]]),
  ]);
}

function manifestRow({ role, tag, digest, size, outcome, current }: PlannedManifest): readonly string[] {
  const what = tag === null ? ROLES[role] : `${ROLES[role]} ${printable(tag)}`;
  return [what, shortDigest(digest), size === 0 ? '' : formatBytes(size), manifestAction({ outcome, current })];
}

/** What a copy does with a manifest, for people. */
export function manifestAction({ outcome, current }: Pick<PlannedManifest, 'outcome' | 'current'>): string {
  return {
    new: 'new',
    same: 'same',
    replaces: `replaces ${current}`,
    kept: current === null ? 'kept' : `kept: ${current}`,
    unknown: 'the destination does not say what is there',
  }[outcome];
}

const ROLES: Readonly<Record<PlannedManifest['role'], string>> = {
  image: 'manifest',
  tag: 'tag',
  instance: 'instance',
  referrer: 'referrer',
};

function blobRow(blob: PlannedBlob): readonly string[] {
  return [blob.name, shortDigest(blob.digest), formatBytes(blob.size), actionOf(blob)];
}

function actionOf(blob: PlannedBlob): string {
  const { outcome, from, substitute, bytesIfDeclined } = blob;
  if (outcome === 'copied') return 'copied';
  if (outcome === 'partial') return piecesOf(blob);
  if (outcome === 'left-out') return 'left out';
  const there = substitute === null ? 'already there' : `already there as ${shortDigest(substitute)}`;
  if (from === null) return there;
  const mount = `tries to mount from ${printable(from)}`;
  return bytesIfDeclined === 0 ? `${mount}; ${there}` : mount;
}

function piecesOf({ size, bytesFetched, bytesReused, bytesResumed }: PlannedBlob): string {
  const part = (of: number): string => `${formatBytes(of)} of ${formatBytes(size)}`;
  const inPieces = bytesReused - bytesResumed;
  return [
    ...(bytesResumed > 0 ? [`resumed at ${part(bytesResumed)}`] : []),
    ...(inPieces > 0 ? [`pieces: ${part(inPieces)} already there`] : []),
    `${formatBytes(bytesFetched)} to download`,
  ].join(', ');
}

/** Blobs that are to be mounted, and what moves where the registry declines. */
export interface PlannedMounts {
  readonly mounts: number;
  readonly bytes: number;
}

export function mountsOf(blobs: readonly PlannedBlob[]): PlannedMounts {
  const mounted = blobs.filter(({ bytesIfDeclined }) => bytesIfDeclined > 0);
  return { mounts: mounted.length, bytes: mounted.reduce((sum, { bytesIfDeclined }) => sum + bytesIfDeclined, 0) };
}

export function declinedLine({ mounts, bytes }: PlannedMounts): readonly string[] {
  if (mounts === 0) return [];
  return [`If the registry declines ${count(mounts, 'mount')}, up to ${formatBytes(bytes)} more move each way.`];
}
