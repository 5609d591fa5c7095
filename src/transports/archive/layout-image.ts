import type { WaitOptions } from '../../contract/blob-info.ts';
import type { Digest } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import {
  checkLayoutFile,
  findImage,
  INDEX_FILE,
  LAYOUT_FILE,
  layoutBlobPath,
  type LayoutImage,
  MAX_LAYOUT_FILE_BYTES,
  parseLayoutIndex,
} from '../../manifest/image-layout.ts';
import { InvalidManifestError, MAX_MANIFEST_BYTES } from '../../manifest/parse-manifest.ts';
import { type Archive, readSmall } from './archive.ts';
import { InvalidArchiveError } from './archive-error.ts';
import { type ArchiveImage, readManifest, type WantedImage } from './archive-image.ts';
import { readDeltaMark } from './delta-mark.ts';

/**
 * Finds an image in an archive of an OCI image layout.
 * @throws ImgcopyError of kind `not-found` where it is not there, ERR_SEVERAL_IMAGES where it is not clear which is meant.
 */
export async function openLayoutImage(
  archive: Archive,
  wanted: WantedImage,
  options: WaitOptions = {},
): Promise<ArchiveImage> {
  const { reference } = archive;
  const images = await readLayoutIndex(archive, options);
  const found = findImage(images, wanted, reference);
  // A digest alone may be that of any manifest in the archive.
  const { digest, size, mediaType } = found?.descriptor ?? { digest: wanted.digest as Digest };
  const manifest = await readManifest(archive, layoutBlobPath(digest), { digest, size, mediaType }, options);
  if (manifest === undefined) throw lacksManifest(reference, digest);
  return {
    manifest,
    tag: found?.name,
    fullName: found?.fullName,
    memberOf: layoutBlobPath,
    leftOut: await readDeltaMark(archive),
  };
}

/**
 * Reads which images are in an archive of an OCI image layout.
 * @throws ImgcopyError of kind `not-found` where it is none, ERR_INVALID_LAYOUT.
 */
export async function readLayoutIndex(archive: Archive, options: WaitOptions = {}): Promise<readonly LayoutImage[]> {
  const { reference } = archive;
  const index = await readSmall(archive, INDEX_FILE, {
    ...options,
    tooLarge: (size) => new InvalidManifestError(`${INDEX_FILE} has ${size} bytes, more than ${MAX_MANIFEST_BYTES}`),
  });
  if (index === undefined) throw noLayout(reference);
  await checkLayout(archive, options);
  return parseLayoutIndex(index, reference);
}

/** Where a stream has not brought the file by now, the index has to do. */
async function checkLayout(archive: Archive, options: WaitOptions): Promise<void> {
  if (!archive.has(LAYOUT_FILE)) {
    if (archive.isStream) return;
    throw noLayout(archive.reference);
  }
  const tooLarge = (size: number): Error =>
    new InvalidArchiveError(`${LAYOUT_FILE} has ${size} bytes, more than ${MAX_LAYOUT_FILE_BYTES}`);
  const bytes = await readSmall(archive, LAYOUT_FILE, { ...options, tooLarge });
  checkLayoutFile(bytes ?? Buffer.alloc(0), archive.reference);
}

/** @returns an error for a manifest that is named, and not there. */
export function lacksManifest(reference: string, digest: Digest): ImgcopyError {
  return new ImgcopyError(`${reference} is missing manifest ${digest}: there is no member ${layoutBlobPath(digest)}`, {
    code: 'ERR_MANIFEST_NOT_FOUND',
    kind: 'not-found',
    side: 'source',
    hint: 'the archive holds only some of the platforms; name them with --platform',
  });
}

function noLayout(reference: string): ImgcopyError {
  return new ImgcopyError(
    `${reference} is not an archive of an OCI layout: it has no ${INDEX_FILE} or no ${LAYOUT_FILE}`,
    {
      code: 'ERR_NOT_AN_IMAGE',
      kind: 'not-found',
      side: 'source',
      hint: 'what docker save writes is read as docker-archive:',
    },
  );
}
