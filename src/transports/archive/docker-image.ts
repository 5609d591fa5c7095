import type { WaitOptions } from '../../contract/blob-info.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import type { Descriptor } from '../../manifest/descriptor.ts';
import { INDEX_FILE, layoutBlobPath } from '../../manifest/image-layout.ts';
import { isManifestType } from '../../manifest/media-types.ts';
import { parseManifest } from '../../manifest/parse-manifest.ts';
import { formatPlatform } from '../../manifest/platform.ts';
import type { Archive } from './archive.ts';
import { type ArchiveImage, readManifest, type WantedImage } from './archive-image.ts';
import { lacksManifest, openLayoutImage, readLayoutIndex } from './layout-image.ts';
import { MANIFEST_FILE, openSavedImage, readSavedNames } from './saved-image.ts';

export interface DockerImageOptions extends WaitOptions {
  readonly onWarning: (message: string) => void;
}

/**
 * Finds an image in an archive of `docker save`. From Docker 25 on it is an OCI layout too, whose manifests are read as they are; for an older one, or
 * one of podman, skopeo or crane, a manifest is made.
 *
 * @param wanted.name  in full: `docker.io/library/alpine:3.20`.
 * @throws ImgcopyError of kind `not-found` where it is not there, ERR_SEVERAL_IMAGES where it is not clear which is meant.
 */
export async function openDockerImage(
  archive: Archive,
  wanted: WantedImage,
  { onWarning, ...options }: DockerImageOptions,
): Promise<ArchiveImage> {
  const file = await archive.firstOf([INDEX_FILE, MANIFEST_FILE], options);
  if (file === undefined) throw await noImages(archive, options);
  if (file === MANIFEST_FILE) return await openSavedImage(archive, wanted, options);
  const image = await openLayoutImage(archive, wanted, options);
  return await withoutMissing(archive, image, { onWarning, ...options });
}

/** The full names of the images in an archive of `docker save`, each once. */
export async function listDockerNames(archive: Archive, options: WaitOptions = {}): Promise<readonly string[]> {
  const file = await archive.firstOf([MANIFEST_FILE, INDEX_FILE], options);
  if (file === undefined) throw await noImages(archive, options);
  if (file === MANIFEST_FILE) return await readSavedNames(archive, options);
  const images = await readLayoutIndex(archive, options);
  return [...new Set(images.flatMap(({ fullName = [] }) => fullName))];
}

async function noImages(archive: Archive, options: WaitOptions): Promise<ImgcopyError> {
  return (await archive.names(options)).length === 0 ? isEmpty(archive) : notSaved(archive.reference);
}

/**
 * With containerd's image store, `docker save` writes the whole index, and of its images those that are on the machine. Where that is one, it is the image.
 * @see https://github.com/elastic/elastic-agent/issues/12676
 */
async function withoutMissing(
  archive: Archive,
  image: ArchiveImage,
  { onWarning, ...options }: DockerImageOptions,
): Promise<ArchiveImage> {
  const { bytes, mediaType, digest } = image.manifest;
  const index = parseManifest(bytes, mediaType);
  if (index.kind !== 'index') return image;
  const entries = index.manifests.filter((entry) => isManifestType(entry.mediaType));
  const present = entries.filter((entry) => archive.has(layoutBlobPath(entry.digest)));
  // What writes its index before all else has all of its images still to come.
  if (present.length === entries.length || (archive.isStream && present.length === 0)) return image;
  const [only, ...others] = present.filter(isImage);
  if (only === undefined || others.length > 0) return { ...image, isSparse: true };
  const manifest = await readManifest(archive, layoutBlobPath(only.digest), only, options);
  if (manifest === undefined) throw lacksManifest(archive.reference, only.digest);
  const platform = only.platform === undefined ? only.digest : formatPlatform(only.platform);
  onWarning(`${archive.reference} holds only ${platform} of index ${digest}; that image is copied`);
  return { ...image, manifest };
}

/** Not an attestation. */
function isImage({ platform, annotations }: Descriptor): boolean {
  return platform?.os !== 'unknown' && annotations?.['vnd.docker.reference.type'] === undefined;
}

function isEmpty({ reference, isStream }: Archive): ImgcopyError {
  return new ImgcopyError(`${reference} is empty`, {
    code: 'ERR_NOT_AN_IMAGE',
    kind: 'not-found',
    side: 'source',
    hint: isStream
      ? 'look at what the program before the pipe printed: it may have failed'
      : 'give a file that docker save, podman save or crane pull wrote',
  });
}

function notSaved(reference: string): ImgcopyError {
  return new ImgcopyError(
    `${reference} is not an archive of images: it has neither ${MANIFEST_FILE} nor ${INDEX_FILE}`,
    {
      code: 'ERR_NOT_AN_IMAGE',
      kind: 'not-found',
      side: 'source',
      hint: 'give a file that docker save, podman save or crane pull wrote',
    },
  );
}
