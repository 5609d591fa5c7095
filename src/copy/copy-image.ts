import { ContentMismatchError, type Digest } from '../digest/digest.ts';
import { duringOperation, ImgcopyError } from '../errors/imgcopy-error.ts';
import { isForeignLayer } from '../manifest/media-types.ts';
import { parseManifest } from '../manifest/parse-manifest.ts';
import type { RawManifest } from '../contract/blob-info.ts';
import type { CurrentManifest } from '../contract/image-destination.ts';
import { BlobSet } from './blob-set.ts';
import type { CopiedBlob } from './copy-blob.ts';
import { copyManifestTree, putReadyManifest } from './copy-manifest.ts';
import { copyReferrers, expectReferrers, type CopiedReferrers } from './copy-referrers.ts';
import type { CopyRun, PreparedRun } from './copy-run.ts';
import { countManifests, manifestsOf, readManifestTree } from './manifest-tree.ts';
import type { ReferrerSelection } from './referrers.ts';
import { selectInstances, type Selection, type Wanted } from './select-instances.ts';
import { isSerial, SerialPool } from './serial.ts';
import { copySignatures, signaturesToCopy } from './signatures.ts';
import { refuseSubstitution } from './substitution.ts';

export interface CopyImageOptions extends Selection {
  /** An image that is there under the destination's name is left alone, whichever it is. */
  readonly noClobber?: boolean | undefined;
  /** Every blob is checked, even where the destination has this very manifest. */
  readonly force?: boolean | undefined;
  /** Further tags for the image, beside the destination's own name. */
  readonly additionalTags?: readonly string[] | undefined;
  /** The digest that the destination's reference demands. */
  readonly destinationDigest?: Digest | undefined;
  /** The digest that the source's reference demands, or undefined; transports that look an image up by it have checked it too. */
  readonly sourceDigest?: Digest | undefined;
  /** Which of the manifests that refer to the image, or to its instances, come along. Default: none. */
  readonly referrers?: ReferrerSelection | undefined;
}

/** What a copy came to. Sizes are in bytes. */
export interface CopiedImage {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Of the manifest. */
  readonly size: number;
  /** What docker calls the image ID: the digest of its config. Undefined for what is not one container image, and where its manifest was not read. */
  readonly imageId: Digest | undefined;
  readonly manifests: number;
  readonly blobs: readonly CopiedBlob[];
  /** Set when nothing was done: the destination has this image already, or has one that must not be replaced. */
  readonly skipped: 'same' | 'exists' | undefined;
  /** Where they were wanted. Their blobs are among the blobs above, also where the image itself was skipped. */
  readonly referrers?: CopiedReferrers | undefined;
}

/** Copies an image: everything below its manifest first, the manifest itself last, byte for byte; then what refers to it, where that is wanted. */
export async function copyImage(prepared: PreparedRun, options: CopyImageOptions = {}): Promise<CopiedImage> {
  const run = isSerial(prepared) ? { ...prepared, pool: new SerialPool(prepared.pool) } : prepared;
  if (options.referrers !== undefined) expectReferrers(run);
  await begin(run);
  const decision = await decideSkip(run, options);
  return decision.kind === 'skip' ? decision.skipped : copyWanted(run, decision, options);
}

/** Whether there is anything to do, and what. */
type Decision = { readonly kind: 'skip'; readonly skipped: CopiedImage } | ToCopy;

interface ToCopy {
  readonly kind: 'copy';
  readonly wanted: Wanted;
  readonly names: readonly Name[];
  /** The instance of the source that the image is; undefined for the image itself. */
  readonly signedAs: Digest | undefined;
  /** The destination should have all that the manifest names: it is enough to write that. */
  readonly isNameEnough: boolean;
  readonly follow: Follow | undefined;
}

/** Copies what refers to the image once its manifest is there. */
type Follow = (run: CopyRun, blobs: BlobSet) => Promise<Pick<CopiedImage, 'referrers'>>;

async function decideSkip(run: PreparedRun, options: CopyImageOptions): Promise<Decision> {
  const { source, destination, signal } = run;
  const names = await namesToWrite(run, options);
  if (names.length === 0)
    return { kind: 'skip', skipped: untouched(await describeCurrent(run, { digestOnly: true }), 'exists') };
  const { force = false } = options;
  const held = heldDigests(run, names, { force });
  const mayAskDigest = !options.platforms && !force && !run.includeForeign && !options.referrers;
  const unchanged = mayAskDigest ? await unchangedByDigest(run, held) : undefined;
  if (unchanged !== undefined) return { kind: 'skip', skipped: unchanged };

  const root = await source.getManifest({ signal });
  checkSourceDigest(source.reference, options.sourceDigest, root.digest);
  const wanted = await selectInstances(run, root, options);
  checkDestinationDigest(destination.reference, options.destinationDigest, wanted.digest);
  // Known before the first blob, it tells which of them are worth opening early.
  const own = await held.own;
  const isTrusted = !force && !wantsForeignLayers(run, wanted);
  // Of a sparse index, the destination may have other instances than those that are wanted.
  const isThere = isTrusted && wanted.only === undefined && own === wanted.digest;
  const signedAs = wanted.digest === root.digest ? undefined : wanted.digest;
  const { referrers } = options;
  const follow: Follow | undefined =
    referrers &&
    (async (inner, blobs) => ({
      referrers: await copyReferrers(inner, blobs, wanted, root, { ...options, ...referrers }),
    }));
  if (isThere && (await isHeldByAll(held, wanted.digest))) {
    const same = { ...wanted, size: wanted.bytes.length };
    return { kind: 'skip', skipped: await leaveSame(run, same, signedAs, follow) };
  }
  const isNameEnough = isThere || (isTrusted && isSameRepository(run, root.digest));
  return { kind: 'copy', wanted, names, signedAs, isNameEnough, follow };
}

async function copyWanted(
  run: PreparedRun,
  { wanted, names, signedAs, isNameEnough, follow }: ToCopy,
  options: CopyImageOptions,
): Promise<CopiedImage> {
  const signatures = await signaturesToCopy(run, signedAs);
  if (run.substitute)
    refuseSubstitution({ ...options, isSigned: signatures.length > 0, isReferredTo: options.referrers !== undefined });
  const named = isNameEnough ? await nameOnly(run, wanted, names, signatures, follow) : undefined;
  return named ?? copyContent(run, wanted, names, signatures, follow);
}

/** What the destination makes or locks before all else is not made for an image that does not exist. */
async function begin({ source, destination, signal }: PreparedRun): Promise<void> {
  if (destination.begin === undefined) return;
  await source.getManifest({ signal });
  await destination.begin({ signal });
}

/** A name that the image gets: a further tag, or (undefined) that of the destination's reference. */
type Name = string | undefined;

/** @throws ImgcopyError where an image must not be replaced, and the destination does not tell whether there is one. */
async function namesToWrite(
  { destination, signal }: PreparedRun,
  { additionalTags = [], noClobber }: CopyImageOptions,
): Promise<readonly Name[]> {
  const names: readonly Name[] = [undefined, ...new Set(additionalTags)];
  if (!noClobber) return names;
  const isFree = async (tag: Name): Promise<boolean> => {
    const presence = await destination
      .currentManifest({ tag, digestOnly: true, signal })
      .catch((error: unknown) => ({ state: 'unknown' as const, reason: error }));
    if (presence.state !== 'unknown') return presence.state === 'absent';
    const name = tag === undefined ? destination.reference : `tag ${tag} of ${destination.reference}`;
    throw duringOperation(`cannot tell whether ${name} exists, so nothing was written`, presence.reason);
  };
  const free = await Promise.all(names.map(isFree));
  return names.filter((_name, index) => free[index]);
}

/** Digests of the images that the destination's names hold now; undefined where that is not known. */
interface HeldDigests {
  readonly own: Promise<Digest | undefined>;
  /** Of the further tags that are to be written. */
  readonly further: Promise<readonly (Digest | undefined)[]>;
}

/** Asks for all at once. */
function heldDigests(
  { destination, signal }: PreparedRun,
  names: readonly Name[],
  { force }: { readonly force: boolean },
): HeldDigests {
  const holding = async (tag: Name): Promise<Digest | undefined> => {
    const asked = destination.currentManifest({ tag, digestOnly: tag !== undefined, signal });
    // What is there may be too damaged to be read: no reason not to replace it.
    const presence = await (force ? asked.catch(() => undefined) : asked);
    if (presence?.state !== 'present' || presence.manifest.isToBeReplaced === true) return undefined;
    return presence.manifest.digest;
  };
  const held = {
    own: holding(undefined),
    further: Promise.all(names.filter((name) => name !== undefined).map(holding)),
  };
  held.own.catch(() => undefined);
  held.further.catch(() => undefined);
  return held;
}

async function isHeldByAll({ own, further }: HeldDigests, wanted: Digest): Promise<boolean> {
  return (await own) === wanted && (await further).every((digest) => digest === wanted);
}

/**
 * Names an image that the destination should have already, without a look at its blobs.
 * @returns undefined where the destination refuses the manifest, so that its blobs have to be looked at.
 */
async function nameOnly(
  run: PreparedRun,
  manifest: RawManifest,
  names: readonly Name[],
  signatures: readonly Buffer[],
  follow: Follow | undefined,
): Promise<CopiedImage | undefined> {
  const { destination, signal } = run;
  const { digest } = manifest;
  // It knows whether the registry takes several tags with one request.
  if (names.length > 1) await run.openCache();
  try {
    await putNames(names, (tag, nextTags) => destination.putManifest(manifest, { tag, nextTags, signal }));
  } catch (error) {
    if (error instanceof ImgcopyError && REFUSALS.has(error.code)) return undefined;
    throw duringOperation(`writing manifest ${digest} to ${destination.reference}`, error);
  }
  const followed = await followAlone(run, follow);
  await finish(run, signatures);
  run.emit({ type: 'done', digest });
  return { ...summaryOf(manifest), manifests: 1, skipped: undefined, ...followed };
}

/** How a registry says that it lacks what a manifest names. */
const REFUSALS: ReadonlySet<string> = new Set(['ERR_MISSING_BLOBS', 'ERR_REGISTRY_REFUSED', 'ERR_NOT_FOUND']);

/** The first name alone, for it tells whether the destination takes the manifest; then the others at once. */
async function putNames(
  [first, ...others]: readonly Name[],
  put: (tag: Name, nextTags?: readonly string[]) => Promise<void>,
): Promise<void> {
  const nextTags = others.filter((name) => name !== undefined);
  await put(first, nextTags);
  await Promise.all(others.map((name) => put(name)));
}

async function copyContent(
  run: PreparedRun,
  wanted: Wanted,
  names: readonly Name[],
  signatures: readonly Buffer[],
  follow: Follow | undefined,
): Promise<CopiedImage> {
  return withBlobs(run, async (inner, blobs) => {
    const tree = readManifestTree(inner, wanted, { only: wanted.only });
    await inner.destination.expectManifests?.(await manifestsOf(tree), { signal: inner.signal });
    const ready = await copyManifestTree(inner, blobs, tree);
    const { digest } = ready.manifest;
    await duringPublishing(run, digest, () =>
      putNames(names, (tag, nextTags) => putReadyManifest(inner, blobs, ready, { tag, nextTags })),
    );
    const followed = await follow?.(inner, blobs);
    await duringPublishing(run, digest, () => finish(inner, signatures));
    run.emit({ type: 'done', digest });
    const manifests = await countManifests(tree);
    const results = await blobs.results();
    return { ...summaryOf(ready.manifest), manifests, blobs: results, skipped: undefined, ...followed };
  });
}

/** Gives some work the blobs of its own. */
async function withBlobs<T>(run: PreparedRun, work: (inner: CopyRun, blobs: BlobSet) => Promise<T>): Promise<T> {
  const failed = new AbortController();
  const cache = await run.openCache();
  const inner: CopyRun = { ...run, cache, signal: AbortSignal.any([run.signal, failed.signal]) };
  const blobs = new BlobSet(inner);
  try {
    return await work(inner, blobs);
  } catch (error) {
    // The first failure is the one to report; the others' work ends before the destination is closed.
    failed.abort();
    await blobs.settled();
    throw error;
  }
}

/** Copies what refers to an image whose blobs are there. */
async function followAlone(
  run: PreparedRun,
  follow: Follow | undefined,
): Promise<Pick<CopiedImage, 'blobs' | 'referrers'>> {
  if (follow === undefined) return { blobs: [] };
  return withBlobs(run, async (inner, blobs) => {
    const followed = await follow(inner, blobs);
    return { ...followed, blobs: await blobs.results() };
  });
}

async function duringPublishing(run: PreparedRun, digest: Digest, publish: () => Promise<void>): Promise<void> {
  try {
    await publish();
  } catch (error) {
    throw duringOperation(`writing manifest ${digest} to ${run.destination.reference}`, error);
  }
}

async function finish({ destination, signal }: PreparedEnd, signatures: readonly Buffer[]): Promise<void> {
  await destination.putSignaturesWithFormat?.(signatures, { signal });
  await destination.commit({ signal });
}

type PreparedEnd = Pick<PreparedRun, 'destination' | 'signal'>;

/** Where reading a manifest is metered, its digest is asked for first: nothing else is needed when the destination has it. */
async function unchangedByDigest(run: PreparedRun, held: HeldDigests): Promise<CopiedImage | undefined> {
  const { source, signal } = run;
  if (!source.metersManifestReads) return undefined;
  const [digest] = await Promise.all([source.getManifestDigest?.({ signal }), held.own]);
  if (digest === undefined || !(await isHeldByAll(held, digest))) return undefined;
  return leaveSame(run, await describeCurrent(run), undefined);
}

/** Whether the manifest came from the repository that is written to, so that what the source has the destination has. */
function isSameRepository({ source, destination }: PreparedRun, manifest: Digest): boolean {
  const [from, to] = [source.servedFrom?.(manifest), destination.repository];
  return from !== undefined && from.registry === to?.registry && from.repository === to.repository;
}

/** Whether layers may have to be stored that the destination can lack although it has the manifest. An index may name images with such layers. */
function wantsForeignLayers({ destination, includeForeign }: PreparedRun, { bytes, mediaType }: RawManifest): boolean {
  if (!includeForeign || !destination.acceptsForeignLayerUrls) return false;
  const manifest = parseManifest(bytes, mediaType);
  return manifest.kind === 'index' || (manifest.kind === 'image' && manifest.layers.some(isForeignLayer));
}

/**
 * The manifest is there, with all below it: what is left are its signatures, and what a run that was cut left behind.
 * @param signedAs  the instance of the source that the image is; undefined for the image itself.
 */
async function leaveSame(
  run: PreparedRun,
  same: ManifestSummary & Pick<CurrentManifest, 'bytes'>,
  signedAs: Digest | undefined,
  follow?: Follow,
): Promise<CopiedImage> {
  const { destination, signal } = run;
  const { bytes } = same;
  const image = bytes && { ...same, bytes };
  await copySignatures(run, image, signedAs);
  // The run that wrote it may have ended before it was listed.
  if (image !== undefined) destination.noteReferrer?.(image);
  const followed = await followAlone(run, follow);
  await destination.commit({ signal });
  return { ...untouched(same, 'same'), ...followed };
}

type ManifestSummary = Pick<CopiedImage, 'digest' | 'mediaType' | 'size'>;

/** The image under the destination's own name, which is known to be there. */
async function describeCurrent(
  { destination, signal }: PreparedEnd,
  options: { readonly digestOnly?: boolean } = {},
): Promise<ManifestSummary & Pick<CurrentManifest, 'bytes'>> {
  const { reference } = destination;
  const presence = await destination.currentManifest({ ...options, signal });
  if (presence.state !== 'present') throw goneMeanwhile(reference);
  const { digest, mediaType = '', bytes } = presence.manifest;
  return { digest, mediaType, size: bytes?.length ?? 0, bytes };
}

function goneMeanwhile(reference: string): ImgcopyError {
  return new ImgcopyError(`${reference} was deleted during the copy`, {
    code: 'ERR_DESTINATION_CHANGED',
    side: 'destination',
    hint: 'run the command again',
  });
}

function untouched(
  { digest, mediaType, size, bytes }: ManifestSummary & Pick<CurrentManifest, 'bytes'>,
  skipped: 'same' | 'exists',
): CopiedImage {
  const imageId = bytes && imageIdOf({ digest, mediaType, bytes });
  return { digest, mediaType, size, imageId, manifests: 0, blobs: [], skipped };
}

function summaryOf(manifest: RawManifest): Pick<CopiedImage, 'digest' | 'mediaType' | 'size' | 'imageId'> {
  const { digest, mediaType, bytes } = manifest;
  return { digest, mediaType, size: bytes.length, imageId: imageIdOf(manifest) };
}

function imageIdOf({ bytes, mediaType }: RawManifest): Digest | undefined {
  const manifest = parseManifest(bytes, mediaType);
  return manifest.kind === 'image' && !manifest.isArtifact ? manifest.config?.digest : undefined;
}

/** @throws ContentMismatchError where the source's reference demands another image than the one that is there. */
function checkSourceDigest(reference: string, demanded: Digest | undefined, found: Digest): void {
  if (demanded === undefined || demanded === found) return;
  throw new ContentMismatchError(`digest mismatch in ${reference}`, demanded, found);
}

/** @throws ImgcopyError of kind `usage` where the image cannot be stored by the digest that the destination's reference demands. */
function checkDestinationDigest(reference: string, demanded: Digest | undefined, wanted: Digest): void {
  if (demanded === undefined || demanded === wanted) return;
  throw new ImgcopyError(`the digest of ${reference} is not that of the image to copy, ${wanted}`, {
    code: 'ERR_DESTINATION_DIGEST',
    kind: 'usage',
    side: 'destination',
    hint: 'give the destination a tag instead of a digest',
  });
}
