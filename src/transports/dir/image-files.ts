import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '../../errors/imgcopy-error.ts';
import type { Descriptor } from '../../manifest/descriptor.ts';
import { MAX_INDEX_DEPTH } from '../../manifest/manifest.ts';
import { isManifestType } from '../../manifest/media-types.ts';
import type { Manifest } from '../../manifest/parse-manifest.ts';
import { blobFileName, manifestFileName } from './layout.ts';
import { readInstanceManifest } from './manifest-file.ts';

/** A file that an image needs beside its `manifest.json`. */
export interface ImageFile {
  readonly name: string;
  /** In bytes; undefined where the manifest does not say it (schema 1). */
  readonly size: number | undefined;
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

/** Whether a file is there, of the size that it should have. */
export async function isPresent(directory: string, { name, size }: ImageFile): Promise<boolean> {
  try {
    const found = await stat(join(directory, name));
    return found.isFile() && (size === undefined || found.size === size);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
