import type { Digest } from '../digest/digest.ts';
import { duringOperation, ImgcopyError } from '../errors/imgcopy-error.ts';
import { parseManifest } from '../manifest/parse-manifest.ts';
import { Semaphore, type Pool } from '../io/semaphore.ts';
import type { RawManifest } from '../contract/blob-info.ts';
import type { PutManifestOptions } from '../contract/image-destination.ts';
import { BlobSet } from './blob-set.ts';
import type { CopiedBlob } from './blob-to-copy.ts';
import {
  decide,
  type CopyImageOptions,
  type DescribedManifest,
  type Name,
  type ReferrersSubject,
  type ToCopy,
} from './copy-decision.ts';
import { copyManifestTree, putReadyManifest } from './copy-manifest.ts';
import { copyReferrers, expectReferrers, type CopiedReferrers } from './copy-referrers.ts';
import type { CopyRun, PreparedRun } from './copy-run.ts';
import { refuseWithoutLeftOut } from './left-out.ts';
import { blobsOfTree } from './image-blobs.ts';
import { blobDigestsOf, countManifests, type ManifestNode, manifestsOf, readManifestTree } from './manifest-tree.ts';
import type { Wanted } from './select-instances.ts';
import { checkPolicies, refuseMissing } from './policies.ts';
import { isInTurn, SerialPool } from './serial.ts';
import type { SharingCopy } from './shared-reads.ts';
import { copySignatures, signaturesToCopy } from './signatures.ts';
import { refuseSubstitution } from './substitution.ts';

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
  const run = isInTurn(prepared) ? { ...prepared, pool: turnsOf(prepared) } : prepared;
  if (options.referrers !== undefined) expectReferrers(run);
  if (run.source.leftOut !== undefined) await refuseWithoutLeftOut(run, run.source.leftOut, options);
  await checkPolicies(run, options);
  await lookBeforeAll(run);
  await begin(run);
  const decision = await decide(run, options);
  if (decision.kind === 'exists') return untouched(decision.current, 'exists');
  const follow = following(options, decision.subject);
  if (decision.kind === 'copy') return copyWanted(run, decision, options, follow);
  return leaveSame(run, decision.current, decision.signedAs, follow);
}

/** Where the source is shared, a blob has one place in the pool for all that it goes to: no copy needs more than its turn. */
function turnsOf({ pool, sharing }: PreparedRun): Pool {
  return new SerialPool(sharing === undefined ? pool : new Semaphore(Infinity));
}

/** With several destinations, all are looked at before anything is written to one of them. */
async function lookBeforeAll({ destination, sharing, signal }: PreparedRun): Promise<void> {
  if (sharing === undefined) return;
  // A registry has the answer at hand when it is asked again, be it a failure.
  const digestOnly = destination.repository === undefined;
  await destination.currentManifest({ digestOnly, signal }).catch(() => undefined);
  await sharing.looked(signal);
}

/** Copies what refers to the image once its manifest is there. */
type Follow = (run: CopyRun, blobs: BlobSet) => Promise<Pick<CopiedImage, 'referrers'>>;

function following(options: CopyImageOptions, subject: ReferrersSubject | undefined): Follow | undefined {
  const { referrers, requiredReferrers = [] } = options;
  if (referrers === undefined || subject === undefined) return undefined;
  const { wanted, root } = subject;
  return async (inner, blobs) => {
    const copy = (): Promise<CopiedReferrers> =>
      copyReferrers(inner, blobs, wanted, root, { ...options, ...referrers });
    const { content } = inner;
    const copied = await (content === undefined ? copy() : content.referrers(wanted.digest, copy));
    refuseMissing(requiredReferrers, copied);
    return { referrers: copied };
  };
}

async function copyWanted(
  run: PreparedRun,
  { subject: { wanted }, names, signedAs, isNameEnough }: ToCopy,
  options: CopyImageOptions,
  follow: Follow | undefined,
): Promise<CopiedImage> {
  const signatures = await signaturesToCopy(run, signedAs);
  if (run.substitute)
    refuseSubstitution({ ...options, isSigned: signatures.length > 0, isReferredTo: options.referrers !== undefined });
  const naming = { names, ifDigest: options.ifDigest };
  const named = isNameEnough ? await nameOnly(run, wanted, naming, signatures, follow) : undefined;
  return named ?? copyContent(run, wanted, naming, signatures, follow);
}

/** What the destination makes or locks before all else is not made for an image that does not exist. */
async function begin({ source, destination, signal }: PreparedRun): Promise<void> {
  if (destination.begin === undefined) return;
  await source.getManifest({ signal });
  await destination.begin({ signal });
}

/** The names that are written, and on which condition. */
interface Naming {
  readonly names: readonly Name[];
  readonly ifDigest: CopyImageOptions['ifDigest'];
}

/**
 * Names an image that the destination should have already, without a look at its blobs.
 * @returns undefined where the destination refuses the manifest, so that its blobs have to be looked at.
 */
async function nameOnly(
  run: PreparedRun,
  manifest: RawManifest,
  naming: Naming,
  signatures: readonly Buffer[],
  follow: Follow | undefined,
): Promise<CopiedImage | undefined> {
  const { destination, signal } = run;
  const { digest } = manifest;
  // It knows whether the registry takes several tags with one request.
  if (naming.names.length > 1) await run.openCache();
  try {
    await putNames(naming, (name) => destination.putManifest(manifest, { ...name, signal }));
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
  { names: [first, ...others], ifDigest }: Naming,
  put: (options: PutManifestOptions) => Promise<void>,
): Promise<void> {
  const nextTags = others.filter((name) => name !== undefined);
  // One request for several tags could not have a condition for one of them.
  await put(ifDigest === undefined ? { tag: first, nextTags } : { ifDigest });
  await Promise.all(others.map((tag) => put({ tag })));
}

async function copyContent(
  run: PreparedRun,
  wanted: Wanted,
  naming: Naming,
  signatures: readonly Buffer[],
  follow: Follow | undefined,
): Promise<CopiedImage> {
  return withBlobs(run, async (inner, blobs) => {
    const tree = readManifestTree(inner, wanted, { only: wanted.only });
    if (inner.sharing !== undefined) void expectBlobs(inner.sharing, tree);
    await expect(inner, tree);
    const ready = await copyManifestTree(inner, blobs, tree);
    const { digest } = ready.manifest;
    await duringPublishing(run, digest, () => putNames(naming, (name) => putReadyManifest(inner, blobs, ready, name)));
    const followed = await follow?.(inner, blobs);
    await duringPublishing(run, digest, () => finish(inner, signatures));
    run.emit({ type: 'done', digest });
    const manifests = await countManifests(tree);
    const results = await blobs.results();
    return { ...summaryOf(ready.manifest), manifests, blobs: results, skipped: undefined, ...followed };
  });
}

/** Tells the copies to other destinations which blobs this one may want, once that is known. */
async function expectBlobs(sharing: SharingCopy, tree: ManifestNode): Promise<void> {
  try {
    sharing.expect(await blobDigestsOf(tree));
  } catch {
    // Whoever walks the tree reports it.
  }
}

/** What the destination has to know before the first blob. */
async function expect(run: CopyRun, tree: ManifestNode): Promise<void> {
  const { destination, signal } = run;
  if (destination.expectImage === undefined) return;
  const manifests = await manifestsOf(tree);
  await destination.expectImage({ manifests, blobs: await blobsOfTree(run, tree) }, { signal });
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
  run.sharing?.expect(new Set());
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

async function finish(
  { destination, signal }: Pick<PreparedRun, 'destination' | 'signal'>,
  signatures: readonly Buffer[],
): Promise<void> {
  await destination.putSignaturesWithFormat?.(signatures, { signal });
  await destination.commit({ signal });
}

/**
 * The manifest is there, with all below it: what is left are its signatures, and what a run that was cut left behind.
 * @param signedAs  the instance of the source that the image is; undefined for the image itself.
 */
async function leaveSame(
  run: PreparedRun,
  same: DescribedManifest,
  signedAs: Digest | undefined,
  follow: Follow | undefined,
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

function untouched({ digest, mediaType, size, bytes }: DescribedManifest, skipped: 'same' | 'exists'): CopiedImage {
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
