import type { FileHandle } from 'node:fs/promises';

/** Writes all bytes at an offset of a file, however many system calls it takes. */
export async function writeFully(handle: FileHandle, chunks: readonly Uint8Array[], offset: number): Promise<void> {
  let rest = chunks;
  let position = offset;
  while (rest.length > 0) {
    const { bytesWritten } = await handle.writev(rest, position);
    position += bytesWritten;
    rest = withoutFirstBytes(rest, bytesWritten);
  }
}

function withoutFirstBytes(chunks: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let skip = count;
  const rest: Uint8Array[] = [];
  for (const chunk of chunks) {
    if (skip < chunk.length) rest.push(chunk.subarray(skip));
    skip = Math.max(0, skip - chunk.length);
  }
  return rest;
}
