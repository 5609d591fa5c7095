import { planTags, printable, printableJson, type CopyPlan, type TagPlan } from '../index.ts';
import type { CommandContext } from './command-context.ts';
import type { CopyFlags } from './copy-command.ts';
import { Failures, jsonOfOther, refuseOtherOptions } from './copy-tags-command.ts';
import { declinedLine, drawTotals, manifestAction, mountsOf, openDryRun } from './dry-run-command.ts';
import { ReportedFailure, reportError } from './error-report.ts';
import { count, formatBytes, forTerminal, shortDigest } from './format.ts';
import { withTimeLimit } from './time-limit.ts';

/** Widths of the columns: a line is printed as soon as a tag is planned, whatever the others are called. */
const [TAG_WIDTH, BYTES_WIDTH] = [24, 12];

/** imgcopy --dry-run --all-tags SRC DST: a line on standard output for each tag, and what all of them come to; or a line of JSON for each. */
export async function runDryRunOfTags(
  source: string,
  destinations: readonly string[],
  flags: CopyFlags,
  context: CommandContext,
): Promise<void> {
  const [destination = ''] = destinations;
  refuseOtherOptions(flags, destinations);
  const { isJson, options, progress } = await openDryRun(flags, context);
  const { debug = false, tags, exclude, semver } = flags;
  const { additionalTags: _, since: __, ...copyOptions } = options;
  const failures = new Failures();
  const totals = new Totals();
  const print = (line: string): boolean => process.stdout.write(`${forTerminal(line)}\n`);
  await withTimeLimit(flags, context.signal, async (signal) => {
    if (!isJson) for (const line of headOf(source, destination)) print(line);
    const plans = planTags(source, destination, { ...copyOptions, tags, exclude, semver, signal });
    for await (const outcome of plans) {
      failures.count(outcome);
      totals.count(outcome);
      if (isJson) print(jsonOf(outcome));
      else if (outcome.status === 'planned') print(rowOf(outcome.tag, outcome.plan));
      if (outcome.status === 'failed') reportError(outcome.error, { stack: debug, sides: true });
    }
  }).catch((error: unknown) => {
    progress.fail(error);
    throw error;
  });
  if (!isJson) for (const line of totals.lines()) print(line);
  const { status } = failures;
  if (status !== undefined) throw new ReportedFailure(status);
}

function headOf(source: string, destination: string): readonly string[] {
  return [
    printable(`dry run: all tags of ${source} to ${destination}, nothing is written`),
    '',
    columns('TAG', 'DIGEST', 'DOWNLOAD', 'UPLOAD', 'ACTION'),
  ];
}

function rowOf(tag: string, { digest, bytes, manifests, skipped }: CopyPlan): string {
  const own = manifests.find(({ role }) => role === 'image');
  const action = skipped === 'exists' ? 'kept' : own === undefined ? 'same' : manifestAction(own);
  return columns(printable(tag), shortDigest(digest), formatBytes(bytes.fetched), formatBytes(bytes.uploaded), action);
}

function columns(tag: string, digest: string, down: string, up: string, action: string): string {
  return [tag.padEnd(TAG_WIDTH), digest.padEnd(12), down.padStart(BYTES_WIDTH), up.padStart(BYTES_WIDTH), action].join(
    '  ',
  );
}

function jsonOf(outcome: TagPlan): string {
  return outcome.status === 'planned' ? printableJson({ tag: outcome.tag, ...outcome.plan }) : jsonOfOther(outcome);
}

/** What all tags come to. */
class Totals {
  #tags = 0;
  readonly #bytes = { fetched: 0, uploaded: 0 };
  readonly #requests = { source: 0, destination: 0 };
  readonly #mounted = { mounts: 0, bytes: 0 };
  #leastDurationMs: number | null = null;

  count(outcome: TagPlan): void {
    if (outcome.status !== 'planned') return;
    const { blobs, bytes, requests, leastDurationMs } = outcome.plan;
    const mounted = mountsOf(blobs);
    this.#mounted.mounts += mounted.mounts;
    this.#mounted.bytes += mounted.bytes;
    this.#tags += 1;
    this.#bytes.fetched += bytes.fetched;
    this.#bytes.uploaded += bytes.uploaded;
    this.#requests.source += requests.source;
    this.#requests.destination += requests.destination;
    if (leastDurationMs !== null) this.#leastDurationMs = (this.#leastDurationMs ?? 0) + leastDurationMs;
  }

  lines(): readonly string[] {
    const totals = { bytes: this.#bytes, requests: this.#requests, leastDurationMs: this.#leastDurationMs };
    return ['', `${count(this.#tags, 'tag')} together:`, '', ...drawTotals(totals), ...declinedLine(this.#mounted)];
  }
}
