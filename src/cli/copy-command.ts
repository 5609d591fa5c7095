import { writeFile } from 'node:fs/promises';
import {
  copyImage,
  duringOperation,
  ImgcopyError,
  parseImageName,
  printableJson,
  type CopierOptions,
  type CopyOptions,
  type CopyResult,
  type Digest,
  type ImageName,
  type PartialMode,
  type Platform,
} from '../index.ts';
import type { CommandContext } from './command-context.ts';
import { logRequest } from './debug-log.ts';
import { isReaderGone } from './error-report.ts';
import { refuseSharedInput } from './standard-input.ts';
import { forTerminal } from './format.ts';
import {
  endpointsOf,
  patienceOf,
  registriesOf,
  type BothEndpointsFlags,
  type PatienceFlags,
  type RegistriesFlags,
} from './endpoint-flags.ts';
import { openProgress } from './progress/open-progress.ts';
import type { Progress, ProgressMode } from './progress/progress.ts';
import { withTimeLimit } from './time-limit.ts';
import { keepYoungGenerationSmall, MarkingControl, OptimizingControl } from './v8-flags.ts';

/** What a copy prints on standard output. */
export type OutputForm = 'reference' | 'image' | 'digest' | 'json';

/** What commander makes of the options of copy. */
export interface CopyFlags extends BothEndpointsFlags, PatienceFlags, RegistriesFlags {
  readonly all?: boolean;
  readonly platform?: readonly Platform[];
  readonly sparse?: boolean;
  /** False with --no-clobber. */
  readonly clobber: boolean;
  readonly force?: boolean;
  readonly allTags?: boolean;
  readonly tags?: readonly string[];
  readonly exclude?: readonly string[];
  readonly semver?: readonly string[];
  readonly additionalTag?: readonly string[];
  /** In bytes. */
  readonly maxBytes?: number;
  readonly ifDigest?: Digest | 'none';
  readonly requireReferrer?: readonly string[];
  readonly since?: readonly string[];
  readonly allowNondistributableArtifacts?: boolean;
  readonly removeSignatures?: boolean;
  readonly referrers?: boolean;
  readonly referrersType?: readonly string[];
  readonly substitute?: boolean;
  readonly preserveDigests?: boolean;
  readonly jobs?: number;
  /** In bytes a second. */
  readonly limitRate?: number;
  /** In bytes a second; 0 is off. */
  readonly minRate?: number;
  readonly partial?: PartialMode;
  /** False with --no-cache. */
  readonly cache: boolean;
  readonly dryRun?: boolean;
  readonly digestfile?: string;
  readonly json?: boolean;
  readonly output?: OutputForm;
  readonly progress?: ProgressMode;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}

/** The exit status where some of several copies were made, and others failed. */
export const SOME_FAILED = 7;

/** imgcopy SRC DST: flags to options, one call, and what is printed of its result. */
export async function runCopy(
  source: string,
  destination: string,
  flags: CopyFlags,
  context: CommandContext,
): Promise<void> {
  using copy = await openCopy(source, [destination], flags, context);
  const { progress, output, options, out } = copy;
  let result: CopyResult;
  try {
    result = await withTimeLimit(flags, context.signal, (signal) =>
      copyImage(source, destination, { ...options, signal }),
    );
  } catch (error) {
    const failure = duringCopy(error, source, destination);
    if (!isReaderGone(failure)) progress.fail(failure);
    throw failure;
  }
  progress.finish(result);
  if (flags.digestfile !== undefined) await writeDigest(flags.digestfile, result.digest);
  out.write(`${forTerminal(FORMATS[output](result))}\n`);
}

/** What a copy works with, to one destination or to several. */
export interface OpenCopy extends Disposable {
  readonly output: OutputForm;
  readonly progress: Progress;
  readonly options: CopyOptions & CopierOptions;
  /** Where the result is printed. */
  readonly out: NodeJS.WriteStream;
}

/** Checks what the flags say together, and opens progress. */
export async function openCopy(
  source: string,
  destinations: readonly string[],
  flags: CopyFlags,
  { signal, transports }: CommandContext,
): Promise<OpenCopy> {
  const output = flags.json ? 'json' : (flags.output ?? 'reference');
  const names = destinations.map((destination) => parseImageName(destination, transports));
  if (output === 'image') for (const name of names) refuseImageOutput(name);
  refuseSharedInput([source, ...(flags.since ?? [])], flags, transports);
  const endpoints = await endpointsOf(flags, signal);
  const { verbose = false, debug = false } = flags;
  const progress = await openProgress(flags.quiet ? 'none' : (flags.progress ?? 'auto'), { verbose, debug });
  if (flags.all) warnOfOneTag(parseImageName(source, transports), progress);
  const marking = new MarkingControl();
  const optimizing = new OptimizingControl();
  return {
    output,
    progress,
    // Standard output has the archive, and nothing else.
    out: names.some((name) => name.usesStandardStreams === true) ? process.stderr : process.stdout,
    options: {
      ...endpoints,
      ...optionsOf(flags),
      transports,
      onEvent: (event) => {
        if (event.type === 'blob-started') keepYoungGenerationSmall();
        marking.show(event);
        optimizing.show(event);
        progress.show(event);
      },
      onWarning: progress.warn,
      ...(debug && { onRequest: logRequest }),
    },
    [Symbol.dispose]: () => marking[Symbol.dispose](),
  };
}

/** What the flags say of a copy, apart from how both ends are reached. */
export function optionsOf(flags: CopyFlags): CopyOptions & CopierOptions {
  return {
    ...patienceOf(flags),
    ...registriesOf(flags),
    platforms: flags.platform,
    sparse: flags.sparse,
    noClobber: !flags.clobber,
    force: flags.force,
    additionalTags: flags.additionalTag,
    maxBytes: flags.maxBytes,
    ifDigest: flags.ifDigest,
    requiredReferrers: flags.requireReferrer,
    since: flags.since,
    allowNondistributableArtifacts: flags.allowNondistributableArtifacts,
    removeSignatures: flags.removeSignatures,
    referrers: flags.referrers,
    referrerTypes: flags.referrersType,
    substitute: flags.substitute,
    preserveDigests: flags.preserveDigests,
    partial: flags.partial,
    jobs: flags.jobs,
    limitRate: flags.limitRate,
    minRate: flags.minRate,
    cache: flags.cache,
  };
}

/** @throws ImgcopyError of kind `usage` where the destination is not in a registry, so that no image field could hold it. */
function refuseImageOutput(destination: ImageName): void {
  if (destination.transport === 'docker') return;
  throw new ImgcopyError(`--output image needs a registry as destination, not ${String(destination)}`, {
    code: 'ERR_USAGE',
    kind: 'usage',
    hint: 'use --output reference or --output digest',
  });
}

export const FORMATS: Readonly<Record<OutputForm, (result: CopyResult) => string>> = {
  reference: ({ reference }) => reference,
  // What crane, docker and the image fields of Kubernetes take.
  image: ({ reference }) => reference.replace(/^docker:\/\//, ''),
  digest: ({ digest }) => digest,
  json: (result) => printableJson(toJson(result)),
};

/** For those who know `crane cp -a`, which copies all tags. */
function warnOfOneTag(source: ImageName, progress: Progress): void {
  if (source.withTag === undefined || (source.tag ?? source.digest) !== undefined) return;
  progress.show({
    type: 'warning',
    message: '--all means all platforms, not all tags; only the tag latest is copied. --all-tags copies all',
  });
}

/** A failure in JSON. */
export function errorOf(error: unknown): object {
  const [message = String(error)] = messagesOf(error);
  if (!(error instanceof ImgcopyError)) return { code: 'ERR_FAILED', kind: 'failed', message };
  const { code, kind, side, request, hint } = error;
  return { code, kind, message, side, request, hint };
}

/** A failure's message, then those of its causes. */
function messagesOf(error: unknown): readonly string[] {
  return error instanceof Error ? [error.message, ...messagesOf(error.cause)] : [];
}

/** An error that does not say what was going on is told. */
export function duringCopy(error: unknown, source: string, destination: string): unknown {
  const isBare = error instanceof ImgcopyError && error.kind !== 'usage' && !(error.cause instanceof ImgcopyError);
  return isBare ? duringOperation(`copying ${source} to ${destination}`, error) : error;
}

/** Without a line's end, as skopeo, podman and buildah write it. */
export async function writeDigest(path: string, digest: string): Promise<void> {
  try {
    await writeFile(path, digest);
  } catch (error) {
    throw new ImgcopyError(`the image was copied, but its digest ${digest} could not be written to ${path}`, {
      code: 'ERR_DIGESTFILE',
      cause: error,
    });
  }
}

function toJson(result: CopyResult): Omit<CopyResult, 'reference' | 'destinationId'> {
  const {
    reference: _reference,
    destinationId: _sameAsDestination,
    source,
    destination,
    digest,
    mediaType,
    size,
    imageId,
    durationMs,
    ...counts
  } = result;
  return { source, destination, digest, mediaType, size, imageId, durationMs, ...counts };
}
