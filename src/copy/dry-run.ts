import type { Digest } from '../digest/digest.ts';
import { duringOperation, ImgcopyError } from '../errors/imgcopy-error.ts';
import { repositoryText } from '../contract/image-source.ts';
import type { RawManifest } from '../contract/blob-info.ts';
import type { ImageDestination, ManifestPresence } from '../contract/image-destination.ts';
import type { BlobRange } from '../contract/blob-chunk-accessor.ts';
import type { BlobOutcome } from '../contract/progress.ts';
import { stepOf, type BlobStep } from './blob-step.ts';
import { bytesUploaded, type BlobToCopy, type CopiedBlob, type CopyBlobOptions } from './blob-to-copy.ts';
import { asUsed, reusedBlob, waitForTurn } from './copy-blob.ts';
import type { CopyImageOptions } from './copy-decision.ts';
import { copyImage, type CopiedImage } from './copy-image.ts';
import type { CopyRun, PreparedRun } from './copy-run.ts';
import { partsOf } from './source-parts.ts';

/** What a copy will do for a blob. Sizes are in bytes. */
export interface PlannedBlob {
  readonly digest: Digest;
  readonly size: number;
  /** For people: `layer`, `config`. */
  readonly name: string;
  /** `mounted`: the copy tries to mount it; the registry may decline. */
  readonly outcome: BlobOutcome;
  /** `host[:port]/name` that it is mounted from; null where it is not. */
  readonly from: string | null;
  /** Of the blob that takes its place, where `outcome` is `substituted`; else null. */
  readonly substitute: Digest | null;
  /** Bytes from the source. */
  readonly bytesFetched: number;
  /** Bytes that are at the destination already. */
  readonly bytesReused: number;
  /** Of these, what an interrupted run left. */
  readonly bytesResumed: number;
  /** Bytes that have to be sent where the registry declines a mount; else 0. */
  readonly bytesIfDeclined: number;
}

/** What a copy will do for a manifest, or for a tag. */
export interface PlannedManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  /** In bytes. */
  readonly size: number;
  /** `image`: it gets the destination's own name. `tag`: a further tag. `instance`: of the index. `referrer`: it refers to the image, or to an instance. */
  readonly role: 'image' | 'tag' | 'instance' | 'referrer';
  /** Where it gets one that is not the destination's own; else null. */
  readonly tag: string | null;
  /** `kept`: another image has the name, and must not be replaced. `unknown`: the destination does not say what is there. */
  readonly outcome: 'new' | 'same' | 'replaces' | 'kept' | 'unknown';
  /** What has the name now, where that is another image; else null. */
  readonly current: Digest | null;
}

/** What a copy would come to, and how. */
export interface DryRun {
  readonly copied: CopiedImage;
  /** In the order of the manifests that name them, each once. */
  readonly blobs: readonly PlannedBlob[];
  /** What of each blob comes from the source: sorted, not overlapping. */
  readonly fetched: ReadonlyMap<Digest, readonly BlobRange[]>;
  /** Instances first. */
  readonly manifests: readonly PlannedManifest[];
}

/**
 * Runs a copy whose destination is only asked: blobs are planned instead of copied, manifests compared instead of written. Nothing is begun, made or
 * locked.
 */
export async function dryRun(prepared: PreparedRun, options: CopyImageOptions = {}): Promise<DryRun> {
  const planned = new Map<CopiedBlob, PlannedBlob>();
  const fetched = new Map<Digest, readonly BlobRange[]>();
  const put: PlannedManifest[] = [];
  const destination = askedOnly(prepared.destination, (manifest) => put.push(manifest));
  const bringBlob = async (run: CopyRun, blob: BlobToCopy, bring: CopyBlobOptions): Promise<CopiedBlob> => {
    const plan = (): Promise<BlobPlan> => planBlob(run, blob, bring);
    const { content } = run;
    const isOwn = content === undefined || blob.substitutable !== undefined;
    const step = (await (isOwn ? plan() : content.once(blob.info.digest, plan))) ?? broughtBefore(run, blob);
    planned.set(step.copied, step.planned);
    fetched.set(blob.info.digest, step.fetched);
    return step.copied;
  };
  const copied = await copyImage({ ...prepared, destination, bringBlob }, options);
  const manifests = withReferrers(put, options);
  const written = new Set(
    manifests.flatMap(({ role, tag }) => (role === 'image' || role === 'tag' ? [tag ?? undefined] : [])),
  );
  const names = [undefined, ...new Set(options.additionalTags)].filter((name) => !written.has(name));
  return {
    copied,
    blobs: copied.blobs.flatMap((blob) => planned.get(blob) ?? []),
    fetched,
    manifests: [...manifests, ...(await untouched(prepared, copied, names))],
  };
}

/** What refers to an image is put after it, or alone where the image is there. */
function withReferrers(
  put: readonly PlannedManifest[],
  { additionalTags = [] }: CopyImageOptions,
): readonly PlannedManifest[] {
  const imageAt = put.findIndex(({ role }) => role === 'image');
  const isTag = ({ tag }: PlannedManifest): boolean => tag !== null && additionalTags.includes(tag);
  return put.map((one, at) => (at <= imageAt || isTag(one) ? one : { ...one, role: 'referrer' }));
}

/** @throws ImgcopyError ERR_MAX_BYTES where more would be sent or written than allowed. */
export function refuseBytes(destination: string, maxBytes: number, { copied: { blobs } }: DryRun): void {
  const bytes = blobs.reduce((sum, blob) => sum + bytesUploaded(blob), 0);
  if (bytes <= maxBytes) return;
  throw new ImgcopyError(`${bytes} bytes would go to ${destination}; at most ${maxBytes} are allowed`, {
    code: 'ERR_MAX_BYTES',
    kind: 'failed',
    side: 'destination',
    hint: 'raise --max-bytes; --dry-run lists what needs how much',
  });
}

/** A blob as the copy will tell of it, and in detail. */
interface BlobPlan {
  readonly copied: CopiedBlob;
  readonly planned: PlannedBlob;
  /** What of it comes from the source. */
  readonly fetched: readonly BlobRange[];
}

async function planBlob(run: CopyRun, blob: BlobToCopy, { uses }: CopyBlobOptions): Promise<BlobPlan> {
  const { info, name } = blob;
  const share = run.sharing?.join(info);
  let isPlanned = false;
  try {
    const release = await waitForTurn(run, info, share);
    try {
      const accessor = share === undefined ? partsOf(run.source) : share.planning;
      const step = await stepOf(run, asUsed(blob, uses), { accessor, memory: run.memory.openAccount(), share });
      try {
        const plan = describe(run, blob, step);
        isPlanned = true;
        return plan;
      } finally {
        if (step.kind === 'partial') step.plan?.[Symbol.dispose]();
      }
    } finally {
      release();
    }
  } catch (error) {
    throw duringOperation(`planning ${name} ${info.digest} for ${run.destination.reference}`, error);
  } finally {
    share?.end(isPlanned);
  }
}

/** What another copy between the same repositories will have brought. */
function broughtBefore(run: CopyRun, blob: BlobToCopy): BlobPlan {
  const { digest, size } = blob.info;
  return describe(run, blob, { kind: 'reuse', reused: { reused: true, digest, size } });
}

function describe({ destination }: CopyRun, { info, name }: BlobToCopy, step: BlobStep): BlobPlan {
  const copied = outcomeOf(info, step);
  const { outcome, bytesFetched, bytesReused, bytesResumed = 0 } = copied;
  const from = step.kind === 'tryMount' ? step.from : undefined;
  const planned: PlannedBlob = {
    digest: info.digest,
    size: info.size,
    name,
    outcome,
    from: from === undefined ? null : addressOf(destination, from),
    substitute: copied.digest === info.digest ? null : copied.digest,
    bytesFetched,
    bytesReused,
    bytesResumed,
    bytesIfDeclined: step.kind === 'tryMount' && step.reused?.digest !== info.digest ? info.size : 0,
  };
  return { copied, planned, fetched: fetchedBy(info, step) };
}

function fetchedBy({ size }: { readonly size: number }, step: BlobStep): readonly BlobRange[] {
  if (step.kind === 'reuse' || step.kind === 'tryMount' || size === 0) return [];
  if (step.kind === 'whole' || step.plan === undefined) return [{ offset: 0, length: size }];
  return step.plan.pieces.filter(({ kind }) => kind === 'fetch');
}

function addressOf({ repository }: ImageDestination, from: string): string {
  return repository === undefined ? from : repositoryText({ ...repository, repository: from });
}

/** What the copy says of the blob when it is done. */
function outcomeOf(info: { readonly digest: Digest; readonly size: number }, step: BlobStep): CopiedBlob {
  const { digest, size } = info;
  if (step.kind === 'reuse' || step.kind === 'tryMount') {
    const { reused = { reused: true as const, digest, size } } = step;
    return reusedBlob(info, reused, step.kind === 'reuse' ? 'reused' : 'mounted');
  }
  const plan = step.kind === 'partial' ? step.plan : undefined;
  if (plan === undefined) return { outcome: 'copied', digest, size, bytesFetched: size, bytesReused: 0 };
  const bytesReused = plan.bytesReused + plan.bytesResumed;
  return {
    outcome: bytesReused > 0 ? 'partial' : 'copied',
    digest,
    size,
    bytesFetched: plan.bytesToFetch,
    bytesReused,
    bytesResumed: plan.bytesResumed,
  };
}

/** A destination that answers what it is asked, and tells instead of writing. @param onManifest  hears what it is told to write, and what is there now. */
function askedOnly(inner: ImageDestination, onManifest: (manifest: PlannedManifest) => void): ImageDestination {
  const { reference, repository, concurrency, acceptsForeignLayerUrls, onePlatform } = inner;
  const check = inner.checkWrite?.bind(inner);
  return {
    reference,
    repository,
    concurrency,
    acceptsForeignLayerUrls,
    onePlatform,
    get roundTripMs() {
      return inner.roundTripMs;
    },
    currentManifest: (options) => inner.currentManifest(options),
    tryReusingBlobWithOptions: (info, options) => inner.tryReusingBlobWithOptions(info, { ...options, probe: true }),
    ...(check && (inner.begin === undefined ? { expectImage: (_image, options) => check(options) } : { begin: check })),
    ...(inner.expectsMissing && { expectsMissing: inner.expectsMissing.bind(inner) }),
    ...(inner.planBlobPartial && { planBlobPartial: inner.planBlobPartial.bind(inner) }),
    ...(inner.heldReferrers && { heldReferrers: inner.heldReferrers.bind(inner) }),
    // Whether it can be done is asked, too.
    ...(inner.putBlobPartial && { putBlobPartial: writesNothing }),
    ...(inner.putSignaturesWithFormat && { putSignaturesWithFormat: () => Promise.resolve() }),
    putBlobWithOptions: writesNothing,
    async putManifest(manifest, { instanceDigest, tag, signal } = {}) {
      const digestOnly = instanceDigest !== undefined || tag !== undefined;
      const presence = await inner.currentManifest({ instanceDigest, tag, digestOnly, signal });
      onManifest(compared(manifest, { instanceDigest, tag }, presence));
    },
    commit: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function writesNothing(): Promise<never> {
  throw new Error('a dry run writes nothing');
}

/** The names that would not be written, each with what it holds. */
async function untouched(
  { destination, signal }: PreparedRun,
  { skipped, digest, mediaType, size }: CopiedImage,
  names: readonly (string | undefined)[],
): Promise<readonly PlannedManifest[]> {
  return Promise.all(
    names.map(async (tag) => {
      const named = namedAs({ digest, mediaType, size }, { tag });
      if (skipped === 'same') return { ...named, outcome: 'same', current: null };
      const presence = await destination.currentManifest({ tag, digestOnly: true, signal });
      const current = presence.state === 'present' ? presence.manifest.digest : null;
      return { ...named, outcome: 'kept', current };
    }),
  );
}

interface NamedAs {
  readonly instanceDigest?: Digest | undefined;
  readonly tag?: string | undefined;
}

function compared(manifest: RawManifest, name: NamedAs, presence: ManifestPresence): PlannedManifest {
  const named = namedAs({ ...manifest, size: manifest.bytes.length }, name);
  if (presence.state === 'absent') return { ...named, outcome: 'new', current: null };
  if (presence.state === 'unknown') return { ...named, outcome: 'unknown', current: null };
  const { digest } = presence.manifest;
  return digest === manifest.digest
    ? { ...named, outcome: 'same', current: null }
    : { ...named, outcome: 'replaces', current: digest };
}

function namedAs(
  { digest, mediaType, size }: Pick<PlannedManifest, 'digest' | 'mediaType' | 'size'>,
  { instanceDigest, tag }: NamedAs,
): Pick<PlannedManifest, 'digest' | 'mediaType' | 'size' | 'role' | 'tag'> {
  const role = instanceDigest !== undefined ? 'instance' : tag !== undefined ? 'tag' : 'image';
  return { digest, mediaType, size, role, tag: tag ?? null };
}
