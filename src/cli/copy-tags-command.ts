import {
  copyTags,
  ImgcopyError,
  parseImageName,
  printable,
  printableJson,
  type TagOutcome,
  type TagPlan,
} from '../index.ts';
import type { CommandContext } from './command-context.ts';
import { errorOf, FORMATS, optionsOf, SOME_FAILED, type CopyFlags, type OutputForm } from './copy-command.ts';
import { logRequest } from './debug-log.ts';
import { endpointsOf } from './endpoint-flags.ts';
import { exitStatusOf, ReportedFailure, reportError } from './error-report.ts';
import { forTerminal } from './format.ts';
import { openTagsProgress } from './progress/tags-progress.ts';
import { withTimeLimit } from './time-limit.ts';
import { keepYoungGenerationSmall, MarkingControl } from './v8-flags.ts';

/** imgcopy --all-tags SRC DST: a line on standard output for each tag as it ends, and a report for each that failed. */
export async function runCopyTags(
  source: string,
  destinations: readonly string[],
  flags: CopyFlags,
  { signal, transports }: CommandContext,
): Promise<void> {
  const [destination = ''] = destinations;
  refuseOtherOptions(flags, destinations);
  const output = flags.json ? 'json' : (flags.output ?? 'reference');
  if (output === 'image' && parseImageName(destination, transports).transport !== 'docker')
    throw usage('--output image needs a registry as destination', 'use --output reference or --output digest');
  const endpoints = await endpointsOf(flags, signal);
  const { debug = false, verbose = false } = flags;
  using progress = openTagsProgress(flags.quiet ? 'none' : (flags.progress ?? 'auto'), { verbose });
  using marking = new MarkingControl();
  const failures = new Failures();
  await withTimeLimit(flags, signal, async (limited) => {
    const { additionalTags: _, since: __, ...options } = optionsOf(flags);
    const outcomes = copyTags(source, destination, {
      ...endpoints,
      ...options,
      tags: flags.tags,
      exclude: flags.exclude,
      semver: flags.semver,
      transports,
      signal: limited,
      onEvent: (event) => {
        if (event.type === 'blob-started') keepYoungGenerationSmall();
        marking.show(event);
        progress.show(event);
      },
      onWarning: progress.warn,
      ...(debug && { onRequest: logRequest }),
    });
    for await (const outcome of outcomes) {
      progress.done(outcome);
      const line = lineOf(outcome, output);
      if (line !== undefined) process.stdout.write(`${forTerminal(line)}\n`);
      failures.count(outcome);
      if (outcome.status === 'failed') reportError(outcome.error, { stack: debug, sides: true });
    }
  });
  progress.finish();
  const { status } = failures;
  if (status !== undefined) throw new ReportedFailure(status);
}

/** Which of several tags failed is not kept, for there may be very many. */
export class Failures {
  #others = 0;
  readonly #statuses = new Set<number>();

  count(outcome: TagOutcome | TagPlan): void {
    if (outcome.status === 'failed') this.#statuses.add(exitStatusOf(outcome.error));
    else if (outcome.status !== 'gone') this.#others += 1;
  }

  /** The exit status: that which all failures have, where there is nothing else. */
  get status(): number | undefined {
    const [status, ...more] = this.#statuses;
    if (status === undefined) return undefined;
    if (this.#others > 0) return SOME_FAILED;
    return more.length === 0 ? status : 1;
  }
}

function lineOf(outcome: TagOutcome, output: OutputForm): string | undefined {
  const { tag, status } = outcome;
  if (output === 'json') {
    if (status === 'copied') return printableJson({ tag, ...(JSON.parse(FORMATS.json(outcome.result)) as object) });
    return jsonOfOther(outcome);
  }
  if (status !== 'copied') return undefined;
  const { result } = outcome;
  // The digest alone does not say which tag it is.
  return FORMATS[output]({ ...result, reference: `${result.destination}@${result.digest}` });
}

/** A tag that was not copied, or cannot be planned, in JSON. */
export function jsonOfOther(outcome: Extract<TagOutcome, { status: 'failed' | 'gone' }>): string {
  const { tag } = outcome;
  return printableJson(outcome.status === 'failed' ? { tag, error: errorOf(outcome.error) } : { tag, gone: true });
}

/** @throws ImgcopyError of kind `usage` for what is for one image, or for several destinations. */
export function refuseOtherOptions(flags: CopyFlags, destinations: readonly string[]): void {
  if (destinations.length > 1) throw usage('several tags go to one destination', 'run it once for each destination');
  const unusable = [
    ...(flags.additionalTag === undefined ? [] : ['--additional-tag']),
    ...(flags.digestfile === undefined ? [] : ['--digestfile']),
    ...(flags.since === undefined ? [] : ['--since']),
    ...(flags.maxBytes === undefined ? [] : ['--max-bytes']),
  ];
  if (unusable.length === 0) return;
  const options = printable(unusable.join(', '));
  throw usage(`${options} is for one image, and several tags are to be copied`, `leave out ${options}`);
}

function usage(message: string, hint: string): ImgcopyError {
  return new ImgcopyError(message, { code: 'ERR_USAGE', kind: 'usage', hint });
}
