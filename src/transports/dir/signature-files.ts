import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readRegularFile } from '../../local/regular-file.ts';
import type { Digest } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { blobFileName, signedManifestFile } from './layout.ts';

const MAX_SIGNATURE_BYTES = 4 * 1024 * 1024;
/** Of one manifest: all of them are in memory together. */
const MAX_SIGNATURES = 1000;
const MAX_TOTAL_BYTES = 16 * 1024 * 1024;

/** The names of the files of signatures in a directory: `signature-1`, `<digest of an instance>.signature-1`. */
export async function listSignatures(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory);
  return names.filter((name) => signedManifestFile(name) !== undefined).toSorted();
}

/** @param index  from 0; @param instanceDigest  undefined for the image itself. */
export function signatureFileName(index: number, instanceDigest?: Digest): string {
  const name = `signature-${index + 1}`;
  return instanceDigest === undefined ? name : `${blobFileName(instanceDigest)}.${name}`;
}

/**
 * Reads the signatures of the image or of an instance, in the order of their numbers up to the first that is not there.
 * @throws ImgcopyError ERR_SIGNATURE_TOO_LARGE beyond 4 MiB, or 16 MiB and 1,000 signatures together, ERR_NOT_A_FILE for what is a link or no file.
 */
export async function readSignatures(directory: string, instanceDigest?: Digest): Promise<readonly Buffer[]> {
  const signatures: Buffer[] = [];
  let totalBytes = 0;
  for (;;) {
    const path = join(directory, signatureFileName(signatures.length, instanceDigest));
    const signature = await readSignature(path);
    if (signature === undefined) return signatures;
    signatures.push(signature);
    totalBytes += signature.length;
    if (signatures.length <= MAX_SIGNATURES && totalBytes <= MAX_TOTAL_BYTES) continue;
    throw new ImgcopyError(
      `the signatures up to ${path} are too many: at most ${MAX_SIGNATURES} of ${MAX_TOTAL_BYTES} bytes together are read`,
      { code: 'ERR_SIGNATURE_TOO_LARGE', hint: 'use --remove-signatures to copy without them' },
    );
  }
}

/** Nothing checks a signature's bytes: one that is a link would carry away whatever file it leads to. */
async function readSignature(path: string): Promise<Buffer | undefined> {
  return await readRegularFile(path, {
    limit: MAX_SIGNATURE_BYTES,
    followLink: false,
    tooLarge: (size) =>
      new ImgcopyError(`signature ${path} has ${size} bytes, expected at most ${MAX_SIGNATURE_BYTES}`, {
        code: 'ERR_SIGNATURE_TOO_LARGE',
      }),
  });
}
