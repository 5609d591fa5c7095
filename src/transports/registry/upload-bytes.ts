import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { DigestVerifier, type Digest } from '../../digest/digest.ts';
import { isAbort } from '../../errors/imgcopy-error.ts';
import { backoff, type RetryPolicy } from '../../http/index.ts';
import type { RegistryClient, UploadLocation } from './client.ts';
import {
  CLOSING_RETRIES,
  commitTimeoutMs,
  isWorthAnother,
  learnLimits,
  letGo,
  openUpload,
  uploadInChunks,
  type UploadOptions,
} from './upload.ts';

export interface UploadBytesOptions extends UploadOptions {
  readonly policy: RetryPolicy;
}

/**
 * Stores bytes that are in memory: one PUT where the registry takes it. The bytes have been verified by the caller. An attempt that failed is
 * followed by one in a new upload, for a registry may keep what the old one has received.
 */
export async function uploadBytes(
  client: RegistryClient,
  session: UploadLocation,
  digest: Digest,
  bytes: Buffer,
  options: UploadBytesOptions,
): Promise<void> {
  const { limits, policy, signal } = options;
  let upload = session;
  try {
    for (let attempt = 0; ; attempt += 1) {
      const held = { ...limits };
      const failure = await sendBytes(client, upload, digest, bytes, options).then(
        () => undefined,
        (error: Error) => error,
      );
      if (failure === undefined) return;
      const isLearnt = learnLimits(failure, limits, bytes.length, held);
      if (isAbort(failure) || attempt >= policy.retries || !(isLearnt || isWorthAnother(failure))) throw failure;
      if (!isLearnt) await policy.sleep(backoff(policy, attempt), signal);
      // An answer that was lost may have been a yes.
      const presence = await client.headBlob(digest, { signal });
      if (presence !== 'unknown' && presence.present) return;
      await letGo(client, upload);
      upload = await openUpload(client, signal);
    }
  } catch (error) {
    await letGo(client, upload);
    throw error;
  }
}

async function sendBytes(
  client: RegistryClient,
  upload: UploadLocation,
  digest: Digest,
  bytes: Buffer,
  { limits, signal }: UploadOptions,
): Promise<void> {
  const limit = limits.maxRequestBytes;
  const headersTimeoutMs = commitTimeoutMs(bytes.length);
  const closing = { signal, headersTimeoutMs, retries: CLOSING_RETRIES };
  if (limit !== undefined && bytes.length > limit) {
    const end = await uploadInChunks(client, upload, [bytes], { offset: 0, limit, signal });
    await client.closeUpload(end, digest, undefined, closing);
  } else if (limits.monolithic) {
    await client.closeUpload(upload, digest, bytes, { signal, headersTimeoutMs, retries: 0 });
  } else {
    const end = await client.patchUpload(upload, bytes, { signal, retries: 0 });
    await client.closeUpload(end, digest, undefined, closing);
  }
}

/** Reads a stream of a known, small size into memory, and verifies it. */
export async function collectVerified(
  stream: Readable,
  digest: Digest,
  size: number,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const verifier = new DigestVerifier({ digest, size });
  const chunks: Buffer[] = [];
  const collect = async (bytes: AsyncIterable<Buffer>): Promise<void> => {
    for await (const chunk of bytes) {
      verifier.update(chunk);
      chunks.push(chunk);
    }
  };
  await pipeline(stream, collect, { ...(signal && { signal }) });
  verifier.finish();
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
}
