import type { FileHandle } from 'node:fs/promises';
import { addAbortSignal, Readable } from 'node:stream';
import type { WaitOptions } from '../../contract/blob-info.ts';
import { onRead } from '../../local/disk-error.ts';
import { InvalidArchiveError, quoteName } from './archive-error.ts';
import { gapOf } from './gap.ts';
import { MemberIndex } from './member-index.ts';
import { endOfMember, readMembers } from './read-members.ts';

/** How much is read at a time where headers are, in bytes. */
const READ_BYTES = 32 * 1024;

export interface FileToScan extends WaitOptions {
  readonly handle: FileHandle;
  readonly path: string;
  /** The archive, for messages. */
  readonly reference: string;
}

/**
 * Finds the members of a tar archive in a file, by their headers alone: of a file of 10 GB with ten members, some 300 KB are read.
 * @throws InvalidArchiveError as `readMembers` does.
 */
export async function scanFile({ handle, path, reference, signal }: FileToScan): Promise<MemberIndex> {
  const { size } = await handle.stat();
  const index = new MemberIndex(reference);
  let skipTo = 0;

  async function* headers(): AsyncGenerator<Buffer> {
    for (let position = 0; position < size;) {
      const gap = Math.min(skipTo, size) - position;
      if (gap > 0) {
        // The parser drops the bytes of members.
        const bytes = gapOf(gap);
        position += bytes.length;
        yield bytes;
      } else {
        const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, size - position));
        const { bytesRead } = await onRead(path, () => handle.read(buffer, 0, buffer.length, position));
        if (bytesRead === 0) return;
        position += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    }
  }

  const archive = Readable.from(headers(), { highWaterMark: 1 });
  if (signal !== undefined) addAbortSignal(signal, archive);
  for await (const member of readMembers(archive, reference)) {
    if (member.offset + member.size > size) {
      throw new InvalidArchiveError(
        `${reference} ends too early: ${quoteName(member.name)} has ${member.size} bytes, and ${size - member.offset} are there`,
      );
    }
    skipTo = endOfMember(member);
    index.add(member);
  }
  return index;
}
