import { buffer } from 'node:stream/consumers';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import type { RawManifest } from '../../contract/blob-info.ts';
import type { ManifestPresence } from '../../contract/image-destination.ts';
import { layoutBlobPath } from '../../manifest/image-layout.ts';
import { MAX_INDEX_DEPTH } from '../../manifest/manifest.ts';
import type { Digest } from '../../digest/digest.ts';
import { isManifestType } from '../../manifest/media-types.ts';
import { parseManifest } from '../../manifest/parse-manifest.ts';
import { openRegularFile } from '../../local/regular-file.ts';
import type { Archive } from './archive.ts';
import { openImage, type ArchiveToWrite } from './archive-form.ts';
import { type ArchiveContent, blobsOf, headOf } from './archive-head.ts';
import { readManifest } from './archive-image.ts';
import { leftOutOf } from './delta-mark.ts';
import { openArchiveFile } from './archive-file.ts';
import type { TargetFile } from './target-file.ts';

/** What an archive is that has the name of the one to write. One that is not exactly as it would be written is written again, whatever image it has. */
export async function presentArchive(
  target: TargetFile,
  { form, name, reference, known }: ArchiveToWrite,
): Promise<ManifestPresence> {
  const { path } = target;
  if (path === undefined || target.found?.isFile() !== true) return { state: 'absent' };
  try {
    await using archive = await openArchiveFile({ handle: await openRegularFile(path), path, reference });
    const { manifest } = await openImage(form, archive, {}, { onWarning: () => undefined });
    const manifests = await allManifests(archive, manifest);
    const isAsWritten =
      manifests !== undefined &&
      (await isWhole(archive, { form, name, manifests, leftOut: leftOutOf(manifests, known) }));
    return { state: 'present', manifest: { ...manifest, isToBeReplaced: !isAsWritten } };
  } catch (error) {
    if (error instanceof ImgcopyError) return { state: 'unknown', reason: error };
    throw error;
  }
}

/** A manifest and those below it, each once, in the order in which they are written; undefined where one is not there. */
async function allManifests(
  archive: Archive,
  manifest: RawManifest,
  depth = 0,
  read: Set<Digest> = new Set(),
): Promise<readonly RawManifest[] | undefined> {
  const parsed = parseManifest(manifest.bytes, manifest.mediaType);
  if (parsed.kind !== 'index') return [manifest];
  const found = [manifest];
  for (const entry of parsed.manifests.filter(({ mediaType }) => isManifestType(mediaType))) {
    // An index may name a manifest many times.
    if (read.has(entry.digest)) continue;
    read.add(entry.digest);
    const instance = await readManifest(archive, layoutBlobPath(entry.digest), entry);
    if (instance === undefined || depth >= MAX_INDEX_DEPTH) return undefined;
    const below = await allManifests(archive, instance, depth + 1, read);
    if (below === undefined) return undefined;
    found.push(...below);
  }
  return found;
}

async function isWhole(archive: Archive, content: ArchiveContent): Promise<boolean> {
  const { manifests, leftOut } = content;
  for (const { name: member, bytes } of headOf(content)) {
    if ((await archive.sizeOf(member)) !== bytes.length) return false;
    const opened = await archive.open(member);
    if (opened === undefined || !bytes.equals(await buffer(opened.stream))) return false;
  }
  for (const { digest, size } of manifests.flatMap(blobsOf)) {
    if (leftOut?.digests.has(digest) === true) continue;
    if ((await archive.sizeOf(layoutBlobPath(digest))) !== size) return false;
  }
  return true;
}
