import { Readable } from 'node:stream';
import { ContentMismatchError, DigestVerifier } from '../../../digest/digest.ts';
import { assembleBlob, type AssembleBlobInput, type BlobAssembly } from '../../../partial/fetch/assemble-blob.ts';
import type { Attempts } from '../../../retry/attempts.ts';
import type { BlobChunkAccessor } from '../../../contract/blob-chunk-accessor.ts';
import type { BlobInfo } from '../../../contract/blob-info.ts';
import { BlobAttemptError, brokenContract, PartialBlobUnavailableError } from '../../../contract/errors.ts';
import { MIN_LEFT_BYTES } from './noted-uploads.ts';
import { RegistryError } from '../registry-error.ts';
import { sendRest } from './upload.ts';
import type { UploadSession } from './upload-session.ts';
import type { Uploads } from './uploads.ts';

export interface AssembledUpload {
  readonly bytesReused: number;
  /** Those of them that an earlier run had sent. */
  readonly bytesResumed: number;
  /** The blob's table of contents, where it was read. */
  readonly tail: BlobAssembly['tail'];
}

type Input = Omit<AssembleBlobInput, 'offset'>;

/**
 * Uploads a blob that is put together on the way: from pieces of the registry's own blobs, and from ranges of the source. What a cut upload has
 * received is not sent again: the registry says how far it came, this run or one before.
 *
 * @throws PartialBlobUnavailableError when the blob is best sent as one stream, or came out wrong.
 */
export async function uploadAssembled(uploads: Uploads, input: Input): Promise<AssembledUpload> {
  const { info, signal } = input;
  const attempts = uploads.attempts(info.digest, signal);
  let session = await uploads.claim(info);
  /** Where the registry's copy may end by now. What was claimed is worth keeping as long as the registry does not say otherwise. */
  let received = session === undefined ? 0 : MIN_LEFT_BYTES;
  /** How much of it an earlier run had sent. */
  let resumed: number | undefined = session === undefined ? 0 : undefined;

  const attempt = async (): Promise<AssembledUpload> => {
    if (session !== undefined) {
      if (!(await canGoOn(session, info, signal))) session = undefined;
      received = session?.offset ?? 0;
      resumed ??= received;
      attempts.reached(received);
    }
    if (session?.offset === info.size) {
      await session.close({ size: info.size, signal });
      return { bytesReused: resumed ?? 0, bytesResumed: resumed ?? 0, tail: undefined };
    }
    const offset = session?.offset ?? 0;
    await using assembly = assembleBlob({ ...input, offset });
    const upload = (session ??= await uploads.open(info.digest, { signal }));
    // A session that holds pieces of other blobs is not for another run: nobody could say then what is wrong with it.
    if (assembly.reused().length === 0) await upload.note(info);
    else await upload.unnote();
    const bytes = verified(assembly, await verifierFor(input, offset), (count) => (received += count));
    await sendAssembled(upload, bytes, { input, attempts });
    const reused = assembly.reused().reduce((sum, { length }) => sum + length, 0);
    return { bytesReused: (resumed ?? 0) + reused, bytesResumed: resumed ?? 0, tail: assembly.tail };
  };

  try {
    return await untilDone(attempt, attempts);
  } catch (error) {
    const isOver = isHopeless(error, session);
    if (isOver || !(await session?.leave(received))) await session?.cancel();
    if (!isOver || error instanceof PartialBlobUnavailableError) throw error;
    throw new PartialBlobUnavailableError('the upload came to nothing', { cause: error });
  }
}

async function untilDone<T>(attempt: () => Promise<T>, attempts: Attempts): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof BlobAttemptError)) throw error;
      const { cause, costs } = error;
      if (!(await attempts.again({ why: cause.message, costs }))) throw cause;
    }
  }
}

/** Whether an upload holds a beginning of the blob. One that is of no use is cancelled. */
async function canGoOn(session: UploadSession, { size }: BlobInfo, signal: AbortSignal | undefined): Promise<boolean> {
  const offset = await session.status({ signal });
  if (offset !== undefined && offset > 0 && offset <= size) return true;
  await session.cancel();
  return false;
}

async function sendAssembled(
  upload: UploadSession,
  bytes: AsyncIterable<Buffer>,
  { input, attempts }: { readonly input: Input; readonly attempts: Attempts },
): Promise<void> {
  const { info, memory, signal } = input;
  const stream = Readable.from(bytes);
  try {
    await sendRest(upload, stream, { size: info.size, attempts, memory, signal });
  } finally {
    stream.on('error', () => undefined).destroy();
  }
}

async function* verified(
  { bytes }: BlobAssembly,
  verifier: DigestVerifier | undefined,
  onBytes: (count: number) => void,
): AsyncGenerator<Buffer> {
  for await (const chunk of bytes) {
    onBytes(chunk.length);
    verifier?.update(chunk);
    yield chunk;
  }
  verifier?.finish();
}

/** What an earlier run sent is hashed where it is at hand; else the registry's own check of the digest has to do. */
async function verifierFor({ accessor, info, signal }: Input, offset: number): Promise<DigestVerifier | undefined> {
  if (offset > 0 && !accessor.rangeSupport.isLocal) return undefined;
  const verifier = new DigestVerifier(info);
  if (offset > 0) await hashFront(verifier, accessor, { info, length: offset, signal });
  return verifier;
}

async function hashFront(
  verifier: DigestVerifier,
  accessor: BlobChunkAccessor,
  { info, length, signal }: { info: BlobInfo; length: number; signal: AbortSignal | undefined },
): Promise<void> {
  const answer = await accessor.getBlobAt(info, [{ offset: 0, length }], { signal });
  if (answer.kind !== 'ranges') throw brokenContract('a source that is local refuses ranges');
  for await (const reader of answer.readers) {
    for await (const bytes of reader as AsyncIterable<Buffer>) verifier.update(bytes);
  }
}

/**
 * Whether nobody can resume an upload. What an earlier attempt sent was not hashed here: where the registry says no to the upload as such, in
 * whatever words, that may be why.
 */
function isHopeless(error: unknown, session: UploadSession | undefined): boolean {
  if (isWrongContent(error) || error instanceof PartialBlobUnavailableError) return true;
  return session !== undefined && session.offset > 0 && isRefusal(error);
}

/** Reused pieces, or what an earlier run sent, may be other bytes than they were taken for. */
function isWrongContent(error: unknown): boolean {
  if (error instanceof ContentMismatchError) return true;
  return error instanceof RegistryError && error.status === 400 && error.codes.includes('DIGEST_INVALID');
}

function isRefusal(error: unknown): boolean {
  if (!(error instanceof RegistryError) || error.side !== 'destination') return false;
  return error.status >= 400 && error.status < 500 && ![401, 403, 404, 408, 413, 429].includes(error.status);
}
