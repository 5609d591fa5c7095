import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import { type Digest, digestHex, digestOf } from '../../../src/digest/digest.ts';
import type { BlobInfo } from '../../../src/contract/blob-info.ts';
import type { ImageDestination } from '../../../src/contract/image-destination.ts';
import {
  type DirDestination,
  type DirDestinationOptions,
  openDirDestination,
} from '../../../src/transports/dir/dir-destination.ts';
import type { TestImage } from '../../support/images.ts';

export async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'imgcopy-dir-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export function blobInfo(bytes: Buffer): BlobInfo {
  return { digest: digestOf(bytes), size: bytes.length };
}

/** A destination that is made and locked. */
export async function beginDirDestination(path: string, options?: DirDestinationOptions): Promise<DirDestination> {
  const destination = openDirDestination(path, options);
  await destination.begin();
  return destination;
}

/** The files of an image in a directory, by their names. */
export function filesOf({ manifest, instances, blobs }: TestImage): ReadonlyMap<string, Buffer> {
  return new Map([
    ['version', Buffer.from('Directory Transport Version: 1.1\n')],
    ['manifest.json', manifest.bytes],
    ...instances.map(({ digest, bytes }): [string, Buffer] => [`${digestHex(digest)}.manifest.json`, bytes]),
    ...[...blobs].map(([digest, bytes]): [string, Buffer] => [digestHex(digest), bytes]),
  ]);
}

/** In order. */
export function namesOf(image: TestImage): readonly string[] {
  return [...filesOf(image).keys()].toSorted();
}

/** Writes an image as another tool would. */
export async function writeImage(directory: string, image: TestImage): Promise<void> {
  await mkdir(directory, { recursive: true });
  await Promise.all([...filesOf(image)].map(([name, bytes]) => writeFile(join(directory, name), bytes)));
}

/**
 * Copies an image in the order of the pipeline, blobs side by side.
 * @returns the digests of the blobs that had to be written.
 */
export async function putImage(
  destination: ImageDestination,
  image: TestImage,
  signatures: readonly Buffer[] = [],
): Promise<readonly Digest[]> {
  const written: Digest[] = [];
  const puts = await Promise.allSettled(
    [...image.blobs.values()].map(async (blob) => {
      const info = blobInfo(blob);
      if ((await destination.tryReusingBlobWithOptions(info, {})).reused) return;
      written.push(info.digest);
      await destination.putBlobWithOptions(Readable.from([blob], { objectMode: false }), info, {});
    }),
  );
  for (const put of puts) if (put.status === 'rejected') throw put.reason as Error;
  for (const manifest of image.instances) await destination.putManifest(manifest, { instanceDigest: manifest.digest });
  await destination.putManifest(image.manifest);
  await destination.putSignaturesWithFormat?.(signatures);
  await destination.commit();
  return written;
}

/** Whether all files of an image are in a directory with their right bytes, whatever else is. */
export async function isWhole(directory: string, image: TestImage): Promise<boolean> {
  const same = [...filesOf(image)].map(async ([name, bytes]) => {
    const found = await readFile(join(directory, name)).catch(() => undefined);
    return found?.equals(bytes) === true;
  });
  return (await Promise.all(same)).every(Boolean);
}

/** Checks that a directory holds an image and nothing else. */
export async function assertHoldsOnly(directory: string, image: TestImage): Promise<void> {
  assert.deepEqual((await readdir(directory)).toSorted(), namesOf(image));
  assert.equal(await isWhole(directory, image), true, 'every file has its right bytes');
}
