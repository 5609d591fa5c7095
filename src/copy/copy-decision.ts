import { ContentMismatchError, type Digest } from '../digest/digest.ts';
import { duringOperation, ImgcopyError } from '../errors/imgcopy-error.ts';
import { isForeignLayer } from '../manifest/media-types.ts';
import { parseManifest } from '../manifest/parse-manifest.ts';
import type { RawManifest } from '../contract/blob-info.ts';
import type { IfDigest } from '../contract/if-digest.ts';
import type { CurrentManifest } from '../contract/image-destination.ts';
import type { PreparedRun } from './copy-run.ts';
import type { ReferrerSelection } from './referrers.ts';
import { selectInstances, type Selection, type Wanted } from './select-instances.ts';

export interface CopyImageOptions extends Selection {
  /** An image that exists under the destination's name is never overwritten. */
  readonly noClobber?: boolean | undefined;
  /** Every blob is checked, even where the destination has this very manifest. */
  readonly force?: boolean | undefined;
  /** Further tags for the image, beside the destination's own name. */
  readonly additionalTags?: readonly string[] | undefined;
  /** The digest that the destination's reference demands. */
  readonly destinationDigest?: Digest | undefined;
  /** The digest that the source's reference demands, or undefined; transports that look an image up by it have checked it too. */
  readonly sourceDigest?: Digest | undefined;
  /** The destination's own name is written only where it holds this now. Default: whatever it holds. */
  readonly ifDigest?: IfDigest | undefined;
  /** Types, with `*` and `?`: of each, something has to refer to the image, or to each image of its index. */
  readonly requiredReferrers?: readonly string[] | undefined;
  /** Which of the manifests that refer to the image, or to its instances, come along. Default: none. */
  readonly referrers?: ReferrerSelection | undefined;
}

/** What there is to do for an image, by what both ends say. */
export type Decision =
  /** All names exist, and must not be replaced. */
  | { readonly kind: 'exists'; readonly current: DescribedManifest }
  /** All names hold this very image. */
  | {
      readonly kind: 'same';
      readonly current: DescribedManifest;
      readonly signedAs: Digest | undefined;
      /** Where the manifest was read from the source. */
      readonly subject: ReferrersSubject | undefined;
    }
  | ToCopy;

/** An image, and the one of the source that it is, or is a part of: what refers to it is looked for there. */
export interface ReferrersSubject {
  readonly wanted: Wanted;
  readonly root: RawManifest;
}

export interface ToCopy {
  readonly kind: 'copy';
  readonly subject: ReferrersSubject;
  readonly names: readonly Name[];
  /** The instance of the source that the image is; undefined for the image itself. */
  readonly signedAs: Digest | undefined;
  /** The destination should have all that the manifest names: it is enough to write that. */
  readonly isNameEnough: boolean;
}

/** A manifest that is at the destination; its bytes where they were read. The size is in bytes. */
export type DescribedManifest = Pick<CurrentManifest, 'digest' | 'bytes'> & {
  readonly mediaType: string;
  readonly size: number;
};

/** A name that the image gets: a further tag, or (undefined) that of the destination's reference. */
export type Name = string | undefined;

/** Compares both ends. Nothing is written, and the destination need not have begun. */
export async function decide(run: PreparedRun, options: CopyImageOptions): Promise<Decision> {
  const { source, destination, signal } = run;
  const names = await namesToWrite(run, options);
  if (names.length === 0) return { kind: 'exists', current: await describeCurrent(run, { digestOnly: true }) };
  const { force = false } = options;
  const held = heldDigests(run, names, { force });
  const mayAskDigest = !options.platforms && !force && !run.includeForeign && !options.referrers;
  if (mayAskDigest && (await isUnchangedByDigest(run, held)))
    return { kind: 'same', current: await describeCurrent(run), signedAs: undefined, subject: undefined };

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
  const subject = { wanted, root };
  if (isThere && (await isHeldByAll(held, wanted.digest)))
    return { kind: 'same', current: { ...wanted, size: wanted.bytes.length }, signedAs, subject };
  const isNameEnough = isThere || (isTrusted && isSameRepository(run, root.digest));
  return { kind: 'copy', subject, names, signedAs, isNameEnough };
}

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

/** Where reading a manifest is metered, its digest is asked for first: nothing else is needed when the destination has it. */
async function isUnchangedByDigest({ source, signal }: PreparedRun, held: HeldDigests): Promise<boolean> {
  if (!source.metersManifestReads) return false;
  const [digest] = await Promise.all([source.getManifestDigest?.({ signal }), held.own]);
  return digest !== undefined && (await isHeldByAll(held, digest));
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

/** The image under the destination's own name, which is known to be there. */
async function describeCurrent(
  { destination, signal }: PreparedRun,
  options: { readonly digestOnly?: boolean } = {},
): Promise<DescribedManifest> {
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
