import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { hasBytes, type StagedFile, stageFile, syncDirectory } from '../../local/durable-files.ts';
import { onDisk } from '../../local/disk-error.ts';
import { isTemporaryName } from '../../local/target-directory.ts';
import { parseManifest } from '../../manifest/parse-manifest.ts';
import type { RawManifest } from '../../contract/blob-info.ts';
import { imageFiles } from '../../local/image-files.ts';
import { imagePlace, isLayoutName, MANIFEST_FILE, signedManifestFile, VERSION_FILE } from './layout.ts';
import { type VersionFile, versionFor } from './layout-version.ts';
import { listSignatures, readSignatures, signatureFileName } from './signature-files.ts';

export interface ImageToCommit {
  readonly manifest: RawManifest;
  /** Of the image itself. Undefined: those that are there stay if the manifest does. */
  readonly signatures: readonly Buffer[] | undefined;
  /** The names of the files of instances' signatures, which are there already. */
  readonly instanceSignatures: ReadonlySet<string>;
}

/**
 * Makes the image in a directory the one that readers find, by the rename of `manifest.json`; after that, removes what it does not need. Its
 * instances' manifests and all its blobs have to be there. Ended at any moment, it leaves the image before or this one.
 */
export async function commitImage(directory: string, version: VersionFile, image: ImageToCommit): Promise<void> {
  const { bytes, mediaType } = image.manifest;
  const files = await imageFiles(imagePlace(directory), parseManifest(bytes, mediaType));
  const names = files.map((file) => file.name);
  await version.raiseTo(versionFor(names));
  const isUnchanged = await hasBytes(join(directory, MANIFEST_FILE), bytes);
  const signatures = image.signatures ?? (isUnchanged ? await readSignatures(directory) : []);
  await replaceImage(directory, bytes, signatures);

  const signatureNames = [...image.instanceSignatures, ...signatures.map((_, index) => signatureFileName(index))];
  await removeUnneeded(directory, new Set([MANIFEST_FILE, VERSION_FILE, ...names, ...signatureNames]));
  await version.lowerTo(versionFor(names));
}

/**
 * Old signatures go, and new ones come, right before the manifest: were they to come after it, and the run to end between, no later run
 * would see that they are missing.
 */
async function replaceImage(directory: string, manifest: Buffer, signatures: readonly Buffer[]): Promise<void> {
  const wanted = new Map(signatures.map((signature, index) => [signatureFileName(index), signature]));
  const present = await listSignatures(directory);
  const stale = present.filter((name) => signedManifestFile(name) === MANIFEST_FILE && !wanted.has(name));
  wanted.set(MANIFEST_FILE, manifest);

  const staged: StagedFile[] = [];
  try {
    for (const [name, bytes] of wanted) {
      if (!(await hasBytes(join(directory, name), bytes))) staged.push(await stageFile(directory, name, bytes));
    }
    await syncDirectory(directory);
    await removeFiles(directory, stale);
    for (const file of staged) await file.publish();
    await syncDirectory(directory);
  } finally {
    for (const file of staged) await file[Symbol.asyncDispose]();
  }
}

/** Files of others, and directories, stay. */
async function removeUnneeded(directory: string, needed: ReadonlySet<string>): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true });
  const unneeded = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => entry.name)
    .filter((name) => isTemporaryName(name) || (isLayoutName(name) && !needed.has(name)));
  await removeFiles(directory, unneeded);
}

async function removeFiles(directory: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const path = join(directory, name);
    await onDisk(path, () => rm(path, { force: true }));
  }
}
