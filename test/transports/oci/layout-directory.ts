import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Digest } from '../../../src/digest/digest.ts';
import { layoutBlobPath } from '../../../src/manifest/image-layout.ts';
import { openOciDestination, type OciDestination } from '../../../src/transports/oci/oci-destination.ts';
import { describe, type TestImage } from '../../support/images.ts';

export const REF_NAME = 'org.opencontainers.image.ref.name';

/** An image in a layout; undefined: it has no name. */
export type NamedImage = readonly [name: string | undefined, image: TestImage];

/** The manifests and blobs of an image, by their paths in a layout. */
export function blobFilesOf({ manifest, instances, blobs }: TestImage): ReadonlyMap<string, Buffer> {
  return new Map([
    ...[manifest, ...instances].map(({ digest, bytes }): [string, Buffer] => [layoutBlobPath(digest), bytes]),
    ...[...blobs].map(([digest, bytes]): [string, Buffer] => [layoutBlobPath(digest), bytes]),
  ]);
}

/** Writes a layout as another tool would. */
export async function writeLayout(directory: string, ...images: readonly NamedImage[]): Promise<void> {
  await mkdir(join(directory, 'blobs/sha256'), { recursive: true });
  await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion": "1.0.0"}\n');
  for (const [, image] of images) {
    for (const [path, bytes] of blobFilesOf(image)) {
      await mkdir(dirname(join(directory, path)), { recursive: true });
      await writeFile(join(directory, path), bytes);
    }
  }
  const manifests = images.map(([name, { manifest }]) =>
    describe(manifest.bytes, manifest.mediaType, name === undefined ? {} : { annotations: { [REF_NAME]: name } }),
  );
  await writeIndex(directory, { schemaVersion: 2, manifests });
}

export async function writeIndex(directory: string, index: unknown): Promise<void> {
  await writeFile(join(directory, 'index.json'), typeof index === 'string' ? index : JSON.stringify(index));
}

/** The images that `index.json` lists, each as `NAME@DIGEST`, sorted; none where it is not there. */
export async function listedIn(directory: string): Promise<readonly string[]> {
  const text = await readFile(join(directory, 'index.json'), 'utf8').catch(() => '{"manifests":[]}');
  const { manifests } = JSON.parse(text) as {
    readonly manifests: readonly { readonly digest: Digest; readonly annotations?: Record<string, string> }[];
  };
  return manifests.map(({ digest, annotations }) => `${annotations?.[REF_NAME] ?? ''}@${digest}`).toSorted();
}

/** These images as `listedIn` gives them. */
export function listing(...images: readonly NamedImage[]): readonly string[] {
  return images.map(([name, { manifest }]) => `${name ?? ''}@${manifest.digest}`).toSorted();
}

/** Whether all files of an image are in a layout with their right bytes, whatever else is. */
export async function holdsBlobsOf(directory: string, image: TestImage): Promise<boolean> {
  const same = [...blobFilesOf(image)].map(async ([path, bytes]) => {
    const found = await readFile(join(directory, path)).catch(() => undefined);
    return found?.equals(bytes) === true;
  });
  return (await Promise.all(same)).every(Boolean);
}

/** Checks that a layout holds these images and nothing else, and lists them in any order. */
export async function assertHolds(directory: string, ...images: readonly NamedImage[]): Promise<void> {
  assert.deepEqual(await listedIn(directory), listing(...images));
  for (const [name, image] of images) assert.equal(await holdsBlobsOf(directory, image), true, `${name} is whole`);
  const files = new Set(images.flatMap(([, image]) => [...blobFilesOf(image).keys()]));
  assert.deepEqual(await filesIn(directory), ['index.json', 'oci-layout', ...files].toSorted());
}

/** The paths of all files below a directory, in order. */
export async function filesIn(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .toSorted();
}

/** A destination that is begun. */
export async function beginOciDestination(path: string, name?: string): Promise<OciDestination> {
  const destination = openOciDestination({ path, name, digest: undefined });
  await destination.begin();
  return destination;
}
