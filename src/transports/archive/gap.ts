/** Nobody writes to it, so it takes no memory. */
const GAP = Buffer.alloc(4 * 1024 * 1024);

/** Stands for bytes of an archive that are nowhere in memory: so many, or fewer where that is too much for one piece. */
export function gapOf(size: number): Buffer {
  return GAP.subarray(0, Math.min(size, GAP.length));
}

export function isGap(bytes: Uint8Array): boolean {
  return bytes.buffer === GAP.buffer;
}
