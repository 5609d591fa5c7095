import { join } from 'node:path';
import type { Descriptor } from '../../manifest/descriptor.ts';
import { ContentMismatchError } from '../../digest/digest.ts';
import { isFileOfSize } from '../../local/regular-file.ts';
import type { ManifestPresence } from '../../contract/image-destination.ts';
import { MAX_INDEX_DEPTH } from '../../manifest/manifest.ts';
import { isManifestType } from '../../manifest/media-types.ts';
import { InvalidManifestError, type Manifest } from '../../manifest/parse-manifest.ts';
import { blobFileName, manifestFileName } from './layout.ts';
import { readImageManifest, readInstanceManifest } from './manifest-file.ts';

/** A file that an image needs beside its `manifest.json`. */
export interface ImageFile {
  readonly name: string;
  /** In bytes; undefined where the manifest does not say it (schema 1). */
  readonly size: number | undefined;
}

/**
 * Whether a directory holds an image. One that lacks some of its files counts as absent, for it will be replaced.
 * @param options.digestOnly  the manifest will do, whatever else is there.
 */
export async function imagePresence(
  directory: string,
  { digestOnly = false }: { readonly digestOnly?: boolean | undefined } = {},
): Promise<ManifestPresence> {
  try {
    const stored = await readImageManifest(directory);
    if (stored === undefined) return { state: 'absent' };
    const files = digestOnly ? [] : await imageFiles(directory, stored.manifest);
    const present = await Promise.all(files.map(({ name, size }) => isFileOfSize(join(directory, name), size)));
    return present.every(Boolean) ? { state: 'present', manifest: stored.raw } : { state: 'absent' };
  } catch (error) {
    if (error instanceof InvalidManifestError || error instanceof ContentMismatchError)
      return { state: 'unknown', reason: error };
    throw error;
  }
}

/**
 * All files that a manifest in a directory names, directly or by the instances that are there; an instance that is not there is named all
 * the same.
 * @throws InvalidManifestError, ContentMismatchError for an instance's manifest that is not what its name says.
 */
export async function imageFiles(directory: string, manifest: Manifest, depth = 0): Promise<readonly ImageFile[]> {
  if (manifest.kind === 'schema1') {
    return manifest.layers.map(({ digest }) => ({ name: blobFileName(digest), size: undefined }));
  }
  if (manifest.kind === 'image') {
    const { config, layers } = manifest;
    return (config === undefined ? layers : [config, ...layers]).map(blobFile);
  }
  const files = await Promise.all(manifest.manifests.map((entry) => filesOfEntry(directory, entry, depth)));
  return files.flat();
}

async function filesOfEntry(directory: string, entry: Descriptor, depth: number): Promise<readonly ImageFile[]> {
  if (!isManifestType(entry.mediaType)) return [blobFile(entry)];
  const own = { name: manifestFileName(entry.digest), size: entry.size };
  const stored =
    depth < MAX_INDEX_DEPTH
      ? await readInstanceManifest(directory, entry.digest, { declaredMediaType: entry.mediaType })
      : undefined;
  return stored === undefined ? [own] : [own, ...(await imageFiles(directory, stored.manifest, depth + 1))];
}

function blobFile({ digest, size }: Descriptor): ImageFile {
  return { name: blobFileName(digest), size };
}
