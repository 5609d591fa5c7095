import { digestAlgorithm, digestOf, type Digest } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import type { Descriptor, Platform } from '../manifest/descriptor.ts';
import { subsetIndex } from '../manifest/edit-manifest.ts';
import { isIndexType } from '../manifest/media-types.ts';
import { attestationsFor, formatPlatform, localPlatform } from '../manifest/platform.ts';
import type { RawManifest } from '../contract/blob-info.ts';
import type { PreparedRun } from './copy-run.ts';
import { choosePlatforms, imageForPlatform, type PlatformChoice } from './platform-choice.ts';

/** What of an image is copied. */
export interface Selection {
  /** Only these; undefined copies all that the source names. */
  readonly platforms?: readonly Platform[] | undefined;
  /** With several platforms, the source's index stays as it is although not all its instances are copied. */
  readonly sparse?: boolean | undefined;
  /** Nothing may change the manifest. */
  readonly preserveDigests?: boolean | undefined;
}

/** The manifest to publish; `only` names the instances that come along, where that is not all. */
export interface Wanted extends RawManifest {
  readonly only?: ReadonlySet<Digest> | undefined;
}

/**
 * The manifest to copy for the platforms that are wanted: the source's own for all, an instance for one, and for several a new index of
 * just these with their attestations (or the source's index, when it may be sparse).
 */
export async function selectInstances(
  run: PreparedRun,
  root: RawManifest,
  { sparse, preserveDigests, ...selection }: Selection,
): Promise<Wanted> {
  const platforms = platformsFor(run, root, selection);
  if (platforms.length === 0) return root;
  const [only, ...others] = platforms;
  if (only !== undefined && others.length === 0) return imageForPlatform(run, root, only);
  const choice = await choosePlatforms(run, root, platforms);
  if (choice === undefined) return root;

  const { entries, chosen } = choice;
  const kept = new Set(chosen.flatMap((entry) => [entry, ...attestationsFor(entries, entry.digest)]));
  if (sparse) return { ...root, only: digestsOf(kept, choice) };
  if (kept.size === entries.length) return root;
  if (preserveDigests) {
    throw new ImgcopyError(
      'an index of just these platforms has a digest of its own, and digests are to be preserved',
      {
        code: 'ERR_DIGEST_NOT_PRESERVED',
        kind: 'usage',
        hint: 'keep the index of the source with --sparse, or leave out --preserve-digests',
      },
    );
  }
  run.emit({
    type: 'warning',
    message: `the new index contains only ${chosen.map(named).join(', ')}; its digest differs from the source's, so signatures on the source index do not apply`,
  });
  const bytes = subsetIndex(choice.bytes, (_, position) => kept.has(entries[position] as Descriptor));
  return { bytes, mediaType: root.mediaType, digest: digestOf(bytes, digestAlgorithm(root.digest)) };
}

/** @throws ImgcopyError of kind `usage` for several platforms where one has a place. */
function platformsFor(
  { source, destination, emit }: PreparedRun,
  { mediaType }: RawManifest,
  { platforms = [] }: Pick<Selection, 'platforms'>,
): readonly Platform[] {
  if (platforms.length > 1 && destination.onePlatform === true) {
    throw new ImgcopyError(`${destination.reference} has a place for one platform, not for ${platforms.length}`, {
      code: 'ERR_USAGE',
      kind: 'usage',
      hint: 'give one --platform; oci: and oci-archive: have a place for all',
    });
  }
  const [side] = [destination, source].filter(({ onePlatform }) => onePlatform === true);
  if (platforms.length > 0 || side === undefined || !isIndexType(mediaType)) return platforms;
  const platform = localPlatform();
  const message = `${side.reference} has one platform: ${formatPlatform(platform)} is copied; choose another with --platform`;
  emit({ type: 'warning', message });
  return [platform];
}

/** What comes along of a sparse index: the entries kept, and the indexes on the way to them. */
function digestsOf(kept: ReadonlySet<Descriptor>, { nested }: PlatformChoice): ReadonlySet<Digest> {
  const digests = new Set([...kept].map(({ digest }) => digest));
  for (const [digest, entries] of [...nested].toReversed()) {
    if (entries.some((entry) => digests.has(entry.digest))) digests.add(digest);
  }
  return digests;
}

function named({ platform }: Descriptor): string {
  return platform === undefined ? 'unknown' : formatPlatform(platform);
}
