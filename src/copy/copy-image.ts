import { ContentMismatchError, type Digest } from '../digest/digest.ts';
import { duringOperation, ImgcopyError } from '../errors/imgcopy-error.ts';
import type { Platform } from '../manifest/descriptor.ts';
import type { RawManifest } from '../types/blob-info.ts';
import type { CurrentManifest } from '../types/image-destination.ts';
import { BlobSet } from './blob-set.ts';
import type { CopiedBlob } from './copy-blob.ts';
import { copyManifestTree, putReadyManifest, type ReadyManifest } from './copy-manifest.ts';
import type { CopyRun, PreparedRun } from './copy-run.ts';
import { countManifests, readManifestTree } from './manifest-tree.ts';
import { selectInstances } from './select-instances.ts';
import { copySignatures, signaturesToCopy } from './signatures.ts';
import { refuseSubstitution } from './substitution.ts';

export interface CopyImageOptions {
  /** Only these; undefined copies all that the source names. */
  readonly platforms?: readonly Platform[] | undefined;
  /** With several platforms, the source's index stays as it is although not all its instances are copied. */
  readonly sparse?: boolean | undefined;
  /** An image that is there under the destination's name is left alone, whichever it is. */
  readonly noClobber?: boolean | undefined;
  /** Every blob is checked, even where the destination has this very manifest. */
  readonly force?: boolean | undefined;
  /** Nothing may change the manifest. */
  readonly preserveDigests?: boolean | undefined;
  /** Whether the manifest is to get further names, and so is put even where the destination has it. */
  readonly hasAdditionalTags?: boolean | undefined;
  /** The digest that the destination's reference demands. */
  readonly destinationDigest?: Digest | undefined;
  /** The digest that the source's reference demands, or undefined; transports that look an image up by it have checked it too. */
  readonly sourceDigest?: Digest | undefined;
}

/** What a copy came to. Sizes are in bytes. */
export interface CopiedImage {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Of the manifest. */
  readonly size: number;
  readonly manifests: number;
  readonly blobs: readonly CopiedBlob[];
  /** Set when nothing was done: the destination has this image already, or has one that must not be replaced. */
  readonly skipped: 'same' | 'exists' | undefined;
}

/** Copies an image: everything below its manifest first, the manifest itself last, byte for byte. */
export async function copyImage(run: PreparedRun, options: CopyImageOptions = {}): Promise<CopiedImage> {
  const { source, destination, signal } = run;
  const current = destination.currentManifest({ signal });
  current.catch(() => undefined);
  if (options.noClobber) {
    const existing = await current;
    if (existing !== undefined) return untouched(described(existing), 'exists');
  }
  const unchanged =
    options.platforms || options.force || options.hasAdditionalTags ? undefined : await unchangedByDigest(run);
  if (unchanged !== undefined) return unchanged;

  const root = await source.getManifest({ signal });
  checkSourceDigest(source.reference, options.sourceDigest, root.digest);
  const wanted = await selectInstances(run, root, options);
  checkDestinationDigest(destination.reference, options.destinationDigest, wanted.digest);
  // Known before the first blob, it tells which of them are worth opening early. What is there may be too damaged to be read.
  const existing = await (options.force ? current.catch(() => undefined) : current);
  // Of a sparse index, the destination may have other instances than those that are wanted.
  const signedAs = wanted.digest === root.digest ? undefined : wanted.digest;
  const mayBeLeft = !options.force && !options.hasAdditionalTags && wanted.only === undefined;
  if (mayBeLeft && existing?.digest === wanted.digest)
    return leaveSame(run, { ...wanted, size: wanted.bytes.length }, signedAs);
  const signatures = await signaturesToCopy(run, signedAs);
  if (run.substitute) refuseSubstitution({ ...options, isSigned: signatures.length > 0 });
  return copyContent(run, wanted, signatures);
}

async function copyContent(run: PreparedRun, wanted: Wanted, signatures: readonly Buffer[]): Promise<CopiedImage> {
  const failed = new AbortController();
  const cache = await run.openCache();
  const inner: CopyRun = { ...run, cache, signal: AbortSignal.any([run.signal, failed.signal]) };
  const blobs = new BlobSet(inner);
  try {
    const tree = readManifestTree(inner, wanted, { only: wanted.only });
    const ready = await copyManifestTree(inner, blobs, tree);
    await publish(inner, blobs, ready, signatures);
    const { digest, mediaType, bytes } = ready.manifest;
    run.emit({ type: 'done', digest });
    const manifests = await countManifests(tree);
    return { digest, mediaType, size: bytes.length, manifests, blobs: await blobs.results(), skipped: undefined };
  } catch (error) {
    // The first failure is the one to report; the others' work ends before the destination is closed.
    failed.abort();
    await blobs.settled();
    throw error;
  }
}

async function publish(
  run: CopyRun,
  blobs: BlobSet,
  ready: ReadyManifest,
  signatures: readonly Buffer[],
): Promise<void> {
  const { destination, signal } = run;
  try {
    await putReadyManifest(run, blobs, ready, {});
    if (destination.supportsSignatures()) await destination.putSignaturesWithFormat(signatures, { signal });
    await destination.commit({ signal });
  } catch (error) {
    throw duringOperation(`writing manifest ${ready.manifest.digest} to ${destination.reference}`, error);
  }
}

/** The manifest to publish; `only` names the instances that come along, where that is not all. */
export interface Wanted extends RawManifest {
  readonly only?: ReadonlySet<Digest> | undefined;
}

/** Where reading a manifest is metered, its digest is asked for first: nothing else is needed when the destination has it. */
async function unchangedByDigest(run: PreparedRun): Promise<CopiedImage | undefined> {
  const { source, destination, signal } = run;
  if (!source.metersManifestReads) return undefined;
  const [digest, current] = await Promise.all([
    source.getManifestDigest({ signal }),
    destination.currentManifest({ signal }),
  ]);
  if (digest === undefined || digest !== current?.digest) return undefined;
  return leaveSame(run, { ...described(current), bytes: current.bytes }, undefined);
}

/**
 * The manifest is there, with all below it: what is left are its signatures, and what a run that was cut left behind.
 * @param signedAs  the instance of the source that the image is; undefined for the image itself.
 */
async function leaveSame(
  run: PreparedRun,
  same: ManifestSummary & Pick<CurrentManifest, 'bytes'>,
  signedAs: Digest | undefined,
): Promise<CopiedImage> {
  const { destination, signal } = run;
  if (destination.supportsSignatures()) await copySignatures(run, same.bytes, signedAs);
  await destination.commit({ signal });
  return untouched(same, 'same');
}

type ManifestSummary = Pick<CopiedImage, 'digest' | 'mediaType' | 'size'>;

function described({ digest, mediaType = '', bytes }: CurrentManifest): ManifestSummary {
  return { digest, mediaType, size: bytes?.length ?? 0 };
}

function untouched({ digest, mediaType, size }: ManifestSummary, skipped: 'same' | 'exists'): CopiedImage {
  return { digest, mediaType, size, manifests: 0, blobs: [], skipped };
}

/** @throws ContentMismatchError where the source's reference demands another image than the one that is there. */
function checkSourceDigest(reference: string, demanded: Digest | undefined, found: Digest): void {
  if (demanded === undefined || demanded === found) return;
  throw new ContentMismatchError(`${reference} names another image than the one that is there`, demanded, found);
}

/** @throws ImgcopyError of kind `usage` where the image cannot be stored by the digest that the destination's reference demands. */
function checkDestinationDigest(reference: string, demanded: Digest | undefined, wanted: Digest): void {
  if (demanded === undefined || demanded === wanted) return;
  throw new ImgcopyError(`${reference} names another image than the one to copy, which is ${wanted}`, {
    code: 'ERR_DESTINATION_DIGEST',
    kind: 'usage',
    side: 'destination',
    hint: 'give the destination a tag, and no digest',
  });
}
