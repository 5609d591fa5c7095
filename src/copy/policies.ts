import type { Digest } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { globPattern } from '../io/glob.ts';
import { isIndexType, isManifestType } from '../manifest/media-types.ts';
import { parseManifest } from '../manifest/parse-manifest.ts';
import { checkIfDigest } from '../contract/if-digest.ts';
import type { CopyImageOptions } from './copy-decision.ts';
import { expectReferrerLists, type CopiedReferrers } from './copy-referrers.ts';
import type { PreparedRun } from './copy-run.ts';
import { findReferrers } from './referrers.ts';
import { selectInstances, type Wanted } from './select-instances.ts';

/**
 * Refuses a copy that must not begin. Nothing is written yet.
 * @throws ImgcopyError ERR_REQUIRED_REFERRER, ERR_IF_DIGEST, ERR_USAGE
 */
export async function checkPolicies(run: PreparedRun, options: CopyImageOptions): Promise<void> {
  const { ifDigest, noClobber, requiredReferrers = [] } = options;
  if (ifDigest !== undefined && noClobber) {
    throw new ImgcopyError('ifDigest and noClobber contradict each other', {
      code: 'ERR_USAGE',
      kind: 'usage',
      hint: 'use one of them: ifDigest `none` writes only a name that does not exist',
    });
  }
  await Promise.all([
    ifDigest !== undefined && checkCurrent(run, ifDigest),
    requiredReferrers.length > 0 && checkReferrers(run, options, requiredReferrers),
  ]);
}

async function checkCurrent(
  { destination, signal }: PreparedRun,
  ifDigest: NonNullable<CopyImageOptions['ifDigest']>,
): Promise<void> {
  const presence = await destination.currentManifest({ digestOnly: true, signal });
  checkIfDigest(destination.reference, ifDigest, presence);
}

/** Of each type, something has to refer to the image, or to each image of its index. That it is there says nothing of what it says, or who made it. */
async function checkReferrers(run: PreparedRun, options: CopyImageOptions, types: readonly string[]): Promise<void> {
  const { source, signal } = run;
  expectReferrerLists(source);
  const root = await source.getManifest({ signal });
  // What it warns of is told by the copy.
  const wanted = await selectInstances({ ...run, emit: () => undefined }, root, options);
  const instances = instancesOf(wanted);
  for (const type of types) {
    const found = new Set<Digest>();
    for await (const { subject } of findReferrers(run, [wanted.digest, ...instances], { types: [type] }))
      found.add(subject);
    const isMet = found.has(wanted.digest) || (instances.length > 0 && instances.every((digest) => found.has(digest)));
    if (!isMet) throw notReferredTo(`${source.reference}@${wanted.digest}`, type, instances);
  }
}

/** The images of an index; attestations in it are none. */
function instancesOf({ bytes, mediaType, only }: Wanted): readonly Digest[] {
  const manifest = parseManifest(bytes, mediaType);
  if (manifest.kind !== 'index') return [];
  const images = manifest.manifests.filter(
    (entry) =>
      isManifestType(entry.mediaType) &&
      !isIndexType(entry.mediaType) &&
      entry.platform?.os !== 'unknown' &&
      (only?.has(entry.digest) ?? true),
  );
  return [...new Set(images.map(({ digest }) => digest))];
}

function notReferredTo(image: string, type: string, instances: readonly Digest[]): ImgcopyError {
  const orEach = instances.length === 0 ? '' : ', nor to each image of the index';
  return new ImgcopyError(`no ${type} refers to ${image}${orEach}`, {
    code: 'ERR_REQUIRED_REFERRER',
    kind: 'failed',
    side: 'source',
    hint: 'imgcopy referrers lists what refers to an image, with the types',
  });
}

/** @throws ImgcopyError ERR_REQUIRED_REFERRER where one that was to come along went away during the copy. */
export function refuseMissing(types: readonly string[], { missing }: CopiedReferrers): void {
  const patterns = types.map((type) => globPattern(type));
  const gone = missing.find(({ type }) => patterns.some((pattern) => pattern.test(type)));
  if (gone === undefined) return;
  throw new ImgcopyError(
    `${gone.tag ?? gone.descriptor.digest} (${gone.type}) is listed at the source and missing there`,
    {
      code: 'ERR_REQUIRED_REFERRER',
      kind: 'failed',
      side: 'source',
      hint: 'run the command again; if it stays, ask the owner of the image to attach it again',
    },
  );
}
