import {
  duringOperation,
  ImgcopyError,
  planCopy,
  printable,
  printableJson,
  type CopyPlan,
  type PlannedBlob,
  type PlannedManifest,
} from '../index.ts';
import type { CommandContext } from './command-context.ts';
import { optionsOf, type CopyFlags } from './copy-command.ts';
import { logRequest } from './debug-log.ts';
import { endpointsOf } from './endpoint-flags.ts';
import { count, formatBytes, formatDuration, forTerminal, shortDigest } from './format.ts';
import { openProgress } from './progress/open-progress.ts';
import { drawTable } from './table.ts';
import { withTimeLimit } from './time-limit.ts';

/** imgcopy --dry-run SRC DST: what a copy would do, on standard output. */
export async function runDryRun(
  source: string,
  destination: string,
  flags: CopyFlags,
  { signal, transports }: CommandContext,
): Promise<void> {
  const isJson = flags.json === true || flags.output === 'json';
  if (flags.output !== undefined && !isJson) throw noOutputForm(flags.output);
  const endpoints = await endpointsOf(flags, signal);
  const { verbose = false, debug = false } = flags;
  const progress = await openProgress(progressMode(flags), { verbose, debug });
  let plan: CopyPlan;
  try {
    plan = await withTimeLimit(flags, signal, (limited) =>
      planCopy(source, destination, {
        ...endpoints,
        ...optionsOf(flags),
        signal: limited,
        transports,
        onEvent: (event) => {
          if (['warning', 'retry', 'fallback'].includes(event.type)) progress.show(event);
        },
        onWarning: progress.warn,
        ...(debug && { onRequest: logRequest }),
      }),
    );
  } catch (error) {
    const isBare = error instanceof ImgcopyError && error.kind !== 'usage' && !(error.cause instanceof ImgcopyError);
    const failure = isBare ? duringOperation(`planning a copy of ${source} to ${destination}`, error) : error;
    progress.fail(failure);
    throw failure;
  }
  const text = isJson ? printableJson(plan) : drawPlan(plan).join('\n');
  process.stdout.write(`${forTerminal(text)}\n`);
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
export function drawPlan(plan: CopyPlan): readonly string[] {
  const { source, destination, bytes, requests, leastDurationMs } = plan;
  const rows = [...plan.manifests.map(manifestRow), ...plan.blobs.map(blobRow)];
  return [
    printable(`dry run: ${source} to ${destination}, nothing is written`),
    ...(rows.length === 0 ? [] : ['', ...drawTable(['WHAT', 'DIGEST', 'SIZE', 'ACTION'], rows, { right: [2] })]),
    '',
    ...drawTable(undefined, [
      ['from the source', formatBytes(bytes.fetched)],
      ['to the destination', formatBytes(bytes.uploaded)],
      ['requests', `about ${requests.source} to the source, ${requests.destination} to the destination`],
      ...(leastDurationMs === null ? [] : [['time', `at least ${formatDuration(leastDurationMs)} at --limit-rate`]]),
    ]),
    ...declinedLine(plan.blobs),
  ];
}

function manifestRow({ role, tag, digest, size, outcome, current }: PlannedManifest): readonly string[] {
  const what = tag === null ? ROLES[role] : `${ROLES[role]} ${printable(tag)}`;
  const action = {
    new: 'new',
    same: 'same',
    replaces: `replaces ${current}`,
    kept: current === null ? 'kept' : `kept: ${current}`,
    unknown: 'the destination does not say what is there',
  }[outcome];
  return [what, shortDigest(digest), size === 0 ? '' : formatBytes(size), action];
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

function declinedLine(blobs: readonly PlannedBlob[]): readonly string[] {
  const mounts = blobs.filter(({ bytesIfDeclined }) => bytesIfDeclined > 0);
  const bytes = mounts.reduce((sum, { bytesIfDeclined }) => sum + bytesIfDeclined, 0);
  if (mounts.length === 0) return [];
  return [`If the registry declines ${count(mounts.length, 'mount')}, up to ${formatBytes(bytes)} more move each way.`];
}
