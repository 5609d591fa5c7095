import type { Digest } from '../digest/digest.ts';
import { duringOperation, ImgcopyError, type Side } from '../errors/imgcopy-error.ts';
import { Semaphore } from '../io/semaphore.ts';
import type { RawManifest } from '../contract/blob-info.ts';
import type { PutManifestOptions } from '../contract/image-destination.ts';
import type { ImageSource } from '../contract/image-source.ts';
import type { BlobSet } from './blob-set.ts';
import { copyManifestTree, putReadyManifest } from './copy-manifest.ts';
import type { CopyRun, PreparedRun } from './copy-run.ts';
import { ManifestReader } from './manifest-reader.ts';
import { readManifestTree } from './manifest-tree.ts';
import { findReferrers, manifestDigests, refersTo, type Referrer, type ReferrerSelection } from './referrers.ts';

/** How many are copied at the same time; their blobs wait in the pool as all others. */
const REFERRERS_IN_FLIGHT = 32;

/** What comes along with an image. */
export interface ReferrersToCopy extends ReferrerSelection {
  /** Tags that exist are left as they are. */
  readonly noClobber?: boolean | undefined;
  /** Also what the destination has already. */
  readonly force?: boolean | undefined;
}

/** What became of the manifests that refer to an image. */
export interface CopiedReferrers {
  readonly total: number;
  /** Written now; the others were there already, or were not to be overwritten. */
  readonly copied: number;
  /** Listed at the source, and not there. */
  readonly missing: readonly Referrer[];
}

/** @throws ImgcopyError ERR_REFERRERS_UNSUPPORTED where one of the sides cannot store manifests that refer to others. */
export function expectReferrers({ source, destination }: Pick<PreparedRun, 'source' | 'destination'>): void {
  expectReferrerLists(source);
  if (destination.heldReferrers === undefined) throw noPlace(destination.reference, 'destination');
}

/** @throws ImgcopyError ERR_REFERRERS_UNSUPPORTED where a source cannot store manifests that refer to others. */
export function expectReferrerLists(source: ImageSource): void {
  if (source.listReferrers === undefined) throw noPlace(source.reference, 'source');
}

function noPlace(reference: string, side: Side): ImgcopyError {
  return new ImgcopyError(`${reference} cannot hold what refers to an image: signatures, attestations, SBOMs`, {
    code: 'ERR_REFERRERS_UNSUPPORTED',
    kind: 'usage',
    side,
    hint: 'use a registry, or an OCI layout (oci:PATH)',
  });
}

/**
 * Copies what refers to an image and to its instances, what refers to that, and so on; each after what it refers to. The destination lists them with its
 * commit.
 * @param image  as it is at the destination. @param root  of the source; where the image is only a part of it, what refers to the root stays behind.
 */
export async function copyReferrers(
  run: CopyRun,
  blobs: BlobSet,
  image: RawManifest & { readonly only?: ReadonlySet<Digest> | undefined },
  root: RawManifest,
  wanted: ReferrersToCopy,
): Promise<CopiedReferrers> {
  if (root.digest !== image.digest) await tellWhatStays(run, root, wanted);
  const subjects = await manifestDigests(run, image, image.only);
  const places = new Semaphore(REFERRERS_IN_FLIGHT);
  const copies = new Map<string, Promise<Outcome>>();
  const subjectsDone = new Map<Digest, Promise<Outcome>>();
  let isFailed = false;
  for await (const { subject, referrers } of findReferrers(run, subjects, wanted)) {
    if (isFailed) break;
    const held = heldOf(run, subject, referrers, wanted);
    // Whoever waits for it is told; until then it must not count as unhandled.
    held.catch(() => undefined);
    for (const referrer of referrers) {
      const key = referrer.tag ?? referrer.descriptor.digest;
      if (copies.has(key)) continue;
      const before = subjectsDone.get(subject);
      const copy = (async (): Promise<Outcome> => {
        // What refers to something that is gone would refer to nothing.
        if (isMissing(await before)) return referrer;
        if ((await held).has(key)) return 'same';
        const release = await places.acquire({ signal: run.signal });
        try {
          return await copyReferrer(run, blobs, referrer, wanted);
        } finally {
          release();
        }
      })();
      copies.set(key, copy);
      subjectsDone.set(referrer.descriptor.digest, copy);
      copy.catch(() => (isFailed = true));
    }
  }
  const outcomes = await Promise.all(copies.values());
  return {
    total: outcomes.length,
    copied: outcomes.filter((outcome) => outcome === 'copied').length,
    missing: outcomes.filter(isMissing),
  };
}

/** The referrer itself, where it could not be copied because it is not there. */
type Outcome = 'copied' | 'same' | Referrer;

function isMissing(outcome: Outcome | undefined): outcome is Referrer {
  return typeof outcome === 'object';
}

/** What the destination has already, by digest. What has a tag is looked at when its turn comes. */
async function heldOf(
  { destination, signal }: CopyRun,
  subject: Digest,
  referrers: readonly Referrer[],
  { force }: ReferrersToCopy,
): Promise<ReadonlySet<string>> {
  const digests = referrers.filter(({ tag }) => tag === undefined).map(({ descriptor }) => descriptor.digest);
  if (force || digests.length === 0 || destination.heldReferrers === undefined) return new Set();
  return destination.heldReferrers(subject, digests, { signal });
}

async function copyReferrer(
  run: CopyRun,
  blobs: BlobSet,
  referrer: Referrer,
  wanted: ReferrersToCopy,
): Promise<Outcome> {
  const { subject, descriptor, tag } = referrer;
  const what = `${tag ?? descriptor.digest}, which refers to ${subject}`;
  try {
    if (tag !== undefined && (await isTagDone(run, tag, descriptor.digest, wanted))) return 'same';
    const raw = await new ManifestReader(run).read(descriptor);
    if (tag === undefined && !refersTo(raw, subject)) {
      run.emit({ type: 'warning', message: `${descriptor.digest} is listed as a referrer of ${subject}, and is none` });
      return referrer;
    }
    const ready = await copyManifestTree(run, blobs, readManifestTree(run, raw));
    const name: PutManifestOptions = tag === undefined ? { instanceDigest: raw.digest } : { tag };
    await putReadyManifest(run, blobs, ready, name);
    return 'copied';
  } catch (error) {
    if (!isGone(error)) throw duringOperation(`copying ${what}`, error);
    run.emit({ type: 'warning', message: `${what}, is not at the source any more: ${reasonOf(error)}` });
    return referrer;
  }
}

/** Somebody may delete it meanwhile, or a blob of it. */
function isGone(error: unknown): error is ImgcopyError {
  return error instanceof ImgcopyError && error.kind === 'not-found' && error.side === 'source';
}

/** What is missing: the manifest, or one of the blobs. */
function reasonOf(error: ImgcopyError): string {
  return error.cause instanceof ImgcopyError ? reasonOf(error.cause) : error.message;
}

async function isTagDone(
  { destination, emit, signal }: CopyRun,
  tag: string,
  digest: Digest,
  { noClobber, force }: ReferrersToCopy,
): Promise<boolean> {
  const presence = await destination.currentManifest({ tag, digestOnly: true, signal });
  if (presence.state !== 'present') return false;
  if (presence.manifest.digest === digest) return force !== true;
  if (noClobber) emit({ type: 'warning', message: `tag ${tag} exists with other content, and stays as it is` });
  return noClobber ?? false;
}

/** The copy has another digest than the source's index, so what refers to that would refer to nothing. */
async function tellWhatStays(run: CopyRun, root: RawManifest, selection: ReferrerSelection): Promise<void> {
  for await (const { referrers } of findReferrers(run, [root.digest], selection)) {
    const types = [...new Set(referrers.map(({ type }) => type || 'of no type'))].join(', ');
    run.emit({
      type: 'warning',
      message: `what refers to the whole index ${root.digest} does not come along (${types}): the copy has another digest`,
    });
    return;
  }
}
