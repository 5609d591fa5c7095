import { join } from 'node:path';
import type { Digest } from '../digest/digest.ts';
import type { Descriptor } from '../manifest/descriptor.ts';
import { ContentMismatchError } from '../digest/digest.ts';
import { isFileOfSize } from './regular-file.ts';
import type { ManifestPresence } from '../contract/image-destination.ts';
import { MAX_INDEX_DEPTH } from '../manifest/manifest.ts';
import { isManifestType } from '../manifest/media-types.ts';
import { InvalidManifestError, type Manifest } from '../manifest/parse-manifest.ts';
import { readManifestFile, type StoredManifest } from './manifest-file.ts';

/** Where the files of images lie. */
export interface ImagePlace {
  /** Absolute. */
  readonly directory: string;
  /** The path of a blob's file, relative to the directory. */
  readonly blobFile: (digest: Digest) => string;
  /** The path of an instance's manifest, relative to the directory. */
  readonly manifestFile: (digest: Digest) => string;
}

/** A file that an image needs beside its own manifest. */
export interface ImageFile {
  /** Relative to the directory. */
  readonly name: string;
  /** In bytes; undefined where the manifest does not say it (schema 1). */
  readonly size: number | undefined;
}

/**
 * Whether a directory holds an image. One that lacks some of its files counts as absent, for it will be replaced.
 * @param read  reads the image's own manifest.
 * @param options.digestOnly  the manifest will do, whatever else is there.
 */
export async function imagePresence(
  place: ImagePlace,
  read: () => Promise<StoredManifest | undefined>,
  { digestOnly = false }: { readonly digestOnly?: boolean | undefined } = {},
): Promise<ManifestPresence> {
  return await presenceOf(async () => {
    const stored = await read();
    const files = digestOnly || stored === undefined ? [] : await imageFiles(place, stored.manifest);
    const present = await Promise.all(files.map(({ name, size }) => isFileOfSize(join(place.directory, name), size)));
    return present.every(Boolean) ? stored : undefined;
  });
}

/** Whether a manifest is there, whatever it names. */
export async function presenceOf(read: () => Promise<StoredManifest | undefined>): Promise<ManifestPresence> {
  try {
    const stored = await read();
    return stored === undefined ? { state: 'absent' } : { state: 'present', manifest: stored.raw };
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
export async function imageFiles(place: ImagePlace, manifest: Manifest): Promise<readonly ImageFile[]> {
  return await filesOf({ place, read: new Set() }, manifest, 0);
}

interface Reading {
  readonly place: ImagePlace;
  /** An index may name a manifest many times. */
  readonly read: Set<Digest>;
}

async function filesOf(reading: Reading, manifest: Manifest, depth: number): Promise<readonly ImageFile[]> {
  const { blobFile } = reading.place;
  if (manifest.kind === 'schema1') {
    return manifest.layers.map(({ digest }) => ({ name: blobFile(digest), size: undefined }));
  }
  if (manifest.kind === 'image') {
    const { config, layers } = manifest;
    const blobs = config === undefined ? layers : [config, ...layers];
    return blobs.map(({ digest, size }) => ({ name: blobFile(digest), size }));
  }
  const files = await Promise.all(manifest.manifests.map((entry) => filesOfEntry(reading, entry, depth)));
  return files.flat();
}

async function filesOfEntry(reading: Reading, entry: Descriptor, depth: number): Promise<readonly ImageFile[]> {
  const { digest, mediaType, size } = entry;
  const { place, read } = reading;
  if (!isManifestType(mediaType)) return [{ name: place.blobFile(digest), size }];
  const own = { name: place.manifestFile(digest), size };
  if (depth >= MAX_INDEX_DEPTH || read.has(digest)) return [own];
  read.add(digest);
  const stored = await readManifestFile(join(place.directory, own.name), { digest, mediaType });
  return stored === undefined ? [own] : [own, ...(await filesOf(reading, stored.manifest, depth + 1))];
}
