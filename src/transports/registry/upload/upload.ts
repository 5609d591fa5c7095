import { pipeline } from 'node:stream/promises';
import type { Readable } from 'node:stream';
import { DigestVerifier, type Digest } from '../../../digest/digest.ts';
import { BlobAttemptError } from '../../../contract/errors.ts';
import type { AppendOptions, UploadSession } from './upload-session.ts';
import type { WaitOptions } from '../../../contract/blob-info.ts';
import type { Uploads } from './uploads.ts';

export interface SendOptions extends Omit<AppendOptions, 'length'> {
  /** Of the whole blob, in bytes. */
  readonly size: number | undefined;
}

/**
 * Sends what an upload lacks of a blob, and closes it, in the way that the host takes: bytes in memory by one PUT, streams by PATCH and PUT; where
 * one of these is refused, by the other.
 */
export async function sendRest(session: UploadSession, body: Buffer | Readable, options: SendOptions): Promise<void> {
  const { limits, offset } = session;
  const { size, signal } = options;
  const length = size === undefined ? undefined : size - offset;
  const mayPut =
    limits.takesPut && offset === 0 && length !== undefined && length <= (limits.maxRequestBytes ?? Infinity);
  if (mayPut && (Buffer.isBuffer(body) || !limits.takesPatch)) return await session.closeWith(body, length, { signal });
  await session.append(body, { ...options, length });
  await session.close({ size, signal });
}

/**
 * Sends a whole stream. A later run can resume the upload, should this one be killed.
 *
 * @param stream  verifies its own end: the upload is closed only after it ended well.
 * @throws BlobAttemptError when another attempt with a new stream may succeed. The upload is cancelled on any failure.
 */
export async function uploadStream(session: UploadSession, stream: Readable, options: SendOptions): Promise<void> {
  await using upload = session;
  const { size } = options;
  try {
    if (size !== undefined) await upload.note({ digest: upload.digest, size });
    await sendRest(upload, stream, options);
  } finally {
    stream.on('error', () => undefined).destroy();
  }
}

/**
 * Sends bytes that are in memory, and were verified. An attempt that failed is followed by one in a new upload, for a registry may keep what the
 * old one has received.
 */
export async function uploadBytes(
  uploads: Uploads,
  {
    first,
    digest,
    bytes,
    signal,
  }: WaitOptions & { readonly first: UploadSession; readonly digest: Digest; readonly bytes: Buffer },
): Promise<void> {
  const attempts = uploads.attempts(digest, signal);
  for (let next: UploadSession | undefined = first; ; next = undefined) {
    await using session = next ?? (await uploads.open(digest, { signal }));
    try {
      return await sendRest(session, bytes, { size: bytes.length, attempts, signal });
    } catch (error) {
      if (!(error instanceof BlobAttemptError)) throw error;
      const { cause, costs } = error;
      if (!(await attempts.again({ why: cause.message, costs }, () => session.cancel()))) throw cause;
    }
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
