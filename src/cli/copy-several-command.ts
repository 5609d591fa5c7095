import { copyImage, ImgcopyError, printableJson, type DestinationOutcome } from '../index.ts';
import type { CommandContext } from './command-context.ts';
import {
  duringCopy,
  errorOf,
  FORMATS,
  openCopy,
  SOME_FAILED,
  writeDigest,
  type CopyFlags,
  type OutputForm,
} from './copy-command.ts';
import { exitStatusOf, formatError, isReaderGone, ReportedFailure, reportError } from './error-report.ts';
import { forTerminal } from './format.ts';
import { withTimeLimit } from './time-limit.ts';

/** imgcopy SRC DST DST2 …: a line on standard output for each destination, in the order given, and a report for each that failed. */
export async function runCopyToSeveral(
  source: string,
  destinations: readonly string[],
  flags: CopyFlags,
  context: CommandContext,
): Promise<void> {
  using copy = await openCopy(source, destinations, flags, context);
  const { progress, output, options, out } = copy;
  let outcomes: readonly DestinationOutcome[];
  try {
    outcomes = await withTimeLimit(flags, context.signal, (signal) =>
      copyImage(source, destinations, { ...options, signal }),
    );
  } catch (error) {
    progress.fail(error);
    throw error;
  }
  for (const { destinationId, result, error } of outcomes) {
    if (result !== undefined) progress.finish(result);
    else if (!isReaderGone(error)) progress.fail(error, destinationId);
  }
  out.write(outcomes.map((outcome) => `${forTerminal(lineOf(outcome, source, output))}\n`).join(''));
  const { debug = false } = flags;
  const status = reportFailures(outcomes, { debug, explain: (error, to) => duringCopy(error, source, to) });
  const wasWritten = flags.digestfile === undefined || (await writeCommonDigest(flags.digestfile, outcomes, debug));
  if (status !== undefined) throw new ReportedFailure(status);
  if (!wasWritten) throw new ReportedFailure(2);
}

function lineOf({ destinationId, result, error }: DestinationOutcome, source: string, output: OutputForm): string {
  if (result !== undefined) return FORMATS[output](result);
  return output === 'json' ? printableJson({ source, destination: destinationId, error: errorOf(error) }) : '';
}

export interface FailureReport {
  readonly debug: boolean;
  /** Says what was going on. @param to  the destinations that have the failure. */
  readonly explain: (error: Error, to: string) => unknown;
}

/** Reports why destinations failed, each reason once. @returns the exit status; undefined where none failed. */
export function reportFailures(
  outcomes: readonly { readonly destinationId: string; readonly error?: Error | undefined }[],
  { debug, explain }: FailureReport,
): number | undefined {
  const failed = outcomes.flatMap(({ destinationId, error }) =>
    error === undefined ? [] : [{ destinationIds: [destinationId], error }],
  );
  for (const { destinationIds, error } of once(failed))
    reportError(explain(error, destinationIds.join(', ')), { stack: debug, sides: true });
  return failed.length === 0 ? undefined : statusOf(failed, outcomes.length);
}

interface Failure {
  readonly destinationIds: readonly string[];
  readonly error: Error;
}

/** Failures that are one: what is wrong with the source fails for every destination. */
function once(failures: readonly Failure[]): readonly Failure[] {
  const different = new Map<string, Failure>();
  for (const failure of failures) {
    const text = formatError(failure.error, { stack: false, sides: true });
    const before = different.get(text)?.destinationIds ?? [];
    different.set(text, { ...failure, destinationIds: [...before, ...failure.destinationIds] });
  }
  return [...different.values()];
}

/** @returns the status that all failures have, where there is nothing else; else 1. */
function statusOf(failed: readonly Failure[], destinations: number): number {
  if (failed.length < destinations) return SOME_FAILED;
  const [status = 1, ...others] = new Set(failed.map(({ error }) => exitStatusOf(error)));
  return others.length === 0 ? status : 1;
}

/** Writes the digest that all copies have. @returns false where they differ, which was reported. */
async function writeCommonDigest(
  file: string,
  outcomes: readonly DestinationOutcome[],
  debug: boolean,
): Promise<boolean> {
  const [digest, ...others] = new Set(outcomes.flatMap(({ result }) => result?.digest ?? []));
  if (digest === undefined) return true;
  if (others.length === 0) {
    await writeDigest(file, digest);
    return true;
  }
  const error = new ImgcopyError(`the copies have different digests, so none was written to ${file}`, {
    code: 'ERR_DIGESTFILE',
    kind: 'usage',
    hint: 'take the digests from --json; they differ with --substitute, and where a destination has a place for one platform',
  });
  reportError(error, { stack: debug, sides: false });
  return false;
}
