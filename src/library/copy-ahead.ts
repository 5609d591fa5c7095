import type { RunAhead } from '../copy/blobs-ahead.ts';
import type { PreparedRun } from '../copy/copy-run.ts';
import type { ImageDestination } from '../contract/image-destination.ts';
import type { BlobAhead, ImageSource } from '../contract/image-source.ts';
import { prepareDestination, type CopyJob, type OneCopyOptions } from './copy-job.ts';
import { isNameSettled, type Ends } from './ends.ts';
import { openDestination, openSource, type OpenEnd } from './open-ends.ts';

/**
 * What a copy does before the manifest has come: it uploads layers of a source that is a stream. The destination is opened for the first of them, and stays
 * open until this is disposed of.
 */
export interface CopyAhead extends AsyncDisposable {
  /** Opens the source, and brings its layers meanwhile. */
  readonly openSource: () => Promise<OpenEnd<ImageSource>>;
  /** The destination, where it is open under this name, or being opened. */
  readonly destinationFor: (ends: Ends) => Promise<ImageDestination | undefined>;
  /** Of the copy that follows: takes what was brought. */
  readonly bringBlob: NonNullable<PreparedRun['bringBlob']>;
}

/** Undefined where all waits for the manifest. */
export async function prepareAhead(job: CopyJob, ends: Ends): Promise<CopyAhead | undefined> {
  const { options, tally, signal } = job;
  const { source, destination, given } = ends;
  const { name } = source;
  if (name === undefined || name.registry !== undefined) return undefined;
  if (destination.name?.registry === undefined || mayLeaveOutLayers(options)) return undefined;
  const reference = String(name);
  const isNamed = isNameSettled(ends);
  let opening: Promise<OpenEnd<ImageDestination>> | undefined;
  const open = async (untilEnd: AbortSignal): Promise<RunAhead> => {
    const own = { ...job, signal: untilEnd };
    opening = openDestination(own, ends, { source: {}, leftOut: undefined });
    const { end } = await opening;
    tally.start(reference, isNamed ? end.reference : String(given));
    return prepareDestination(own, end);
  };
  const { BlobsAhead } = await import('../copy/blobs-ahead.ts');
  const { noClobber, force } = options;
  const blobs = new BlobsAhead({ open, isNamed, noClobber, force, reference, signal });
  const onBlobAhead = (blob: BlobAhead): void => blobs.add(blob);
  return {
    openSource: () =>
      blobs.whileOpening((untilFailure) =>
        openSource({ ...job, signal: untilFailure }, source, [destination], onBlobAhead),
      ),
    destinationFor: async (settled) =>
      String(settled.destination.name) === String(destination.name) ? (await opening)?.end : undefined,
    bringBlob: blobs.bring,
    async [Symbol.asyncDispose](): Promise<void> {
      await blobs[Symbol.asyncDispose]();
      // Where it failed, whoever opened it was told.
      await (await opening?.catch(() => undefined))?.[Symbol.asyncDispose]();
    },
  };
}

/** Whether the options may leave out layers that are in the source, or all of the copy, for what the manifest says. */
function mayLeaveOutLayers(options: OneCopyOptions): boolean {
  const { platforms, substitute, maxBytes, ifDigest, referrers, referrerTypes, requiredReferrers } = options;
  const given = [platforms, maxBytes, ifDigest, referrerTypes, requiredReferrers, options.bringBlob];
  return given.some((option) => option !== undefined) || substitute === true || referrers === true;
}
