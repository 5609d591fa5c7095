import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdtemp, open as openFile, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import { type BlobFile, type BlobFileOptions, openBlobFile } from '../../src/local/blob-file.ts';
import { type Digest, digestHex, digestOf } from '../../src/digest/digest.ts';

const KIB = 1024;

/** The bytes of the blob that the tests write. */
export const content: Buffer = randomBytes(3 * 1024 * KIB + 17);
export const digest: Digest = digestOf(content);
export const partialName: string = `.imgcopy-sha256-${digestHex(digest)}.partial`;
export const stateName: string = `.imgcopy-sha256-${digestHex(digest)}.state`;

export async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'imgcopy-blob-file-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export function open(directory: string, options: Partial<BlobFileOptions> = {}): Promise<BlobFile> {
  return openBlobFile({ directory, digest, size: content.length, finalName: digestHex, ...options });
}

export function streamOf(bytes: Buffer, pieceLength: number = 64 * KIB): Readable {
  const pieces = Array.from({ length: Math.ceil(bytes.length / pieceLength) }, (_, index) =>
    bytes.subarray(index * pieceLength, (index + 1) * pieceLength),
  );
  return Readable.from(pieces, { objectMode: false });
}

/** What all open files share, for faults of the disk. */
export async function handlePrototype(directory: string): Promise<FileHandle> {
  await using handle = await openFile(directory);
  return Object.getPrototypeOf(handle) as FileHandle;
}

export async function assertPublished(directory: string): Promise<void> {
  assert.deepEqual(await readdir(directory), [digestHex(digest)], 'the blob alone is there');
  assert.ok(content.equals(await readFile(join(directory, digestHex(digest)))), 'with the right bytes');
}
