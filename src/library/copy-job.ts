import type { PreparedRun } from '../copy/copy-run.ts';
import type { SharedContent } from '../copy/shared-content.ts';
import type { ImageDestination } from '../contract/image-destination.ts';
import type { ImageSource } from '../contract/image-source.ts';
import type { CopyOptions } from './options.ts';
import type { SharedResources } from './shared-resources.ts';
import type { Tally } from './tally.ts';

/** One copy, through its steps. */
export interface CopyJob {
  readonly shared: SharedResources;
  readonly options: OneCopyOptions;
  readonly tally: Tally;
  readonly signal: AbortSignal;
  /** Whether the destination is only asked. Default false. */
  readonly isDryRun?: boolean | undefined;
}

/** Of a copy that is one of several. */
export interface OneCopyOptions extends CopyOptions {
  /** What the others have brought. */
  readonly content?: SharedContent | undefined;
  readonly bringBlob?: PreparedRun['bringBlob'];
}

export function prepareRun(job: CopyJob, source: ImageSource, destination: ImageDestination): PreparedRun {
  return { ...prepareDestination(job, destination), source };
}

export function prepareDestination(
  { shared, options, tally, signal, isDryRun = false }: CopyJob,
  destination: ImageDestination,
): Omit<PreparedRun, 'source'> {
  return {
    destination,
    openCache: () => (isDryRun ? shared.cacheToRead() : shared.cache()),
    pool: shared.pool,
    memory: shared.memory,
    policy: shared.policy,
    partial: options.partial ?? 'auto',
    substitute: options.substitute ?? false,
    includeForeign: options.allowNondistributableArtifacts ?? false,
    removeSignatures: options.removeSignatures ?? false,
    content: options.content,
    bringBlob: options.bringBlob,
    emit: tally.emit,
    signal,
  };
}
