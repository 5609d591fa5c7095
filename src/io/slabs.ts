/** How much one slab holds, in bytes. With 256 KiB, 1 GB from a registry to a file takes 0.25 s of CPU more. */
export const SLAB_BYTES: number = 512 * 1024;
/** More of them that nobody uses are left to the garbage collector. */
const MOST_FREE = 32;

const free: Buffer[] = [];
/** How many bytes of a slab have not come back yet. */
const out = new WeakMap<ArrayBufferLike, number>();

/**
 * A block of memory to be filled and handed on, in whatever parts, to somebody who keeps none of them and gives each back once. When all of it has come
 * back, it is handed out again, and overwritten. What does not come back is left to the garbage collector. What is in it may be anything.
 */
export function takeSlab(): Buffer {
  const slab = free.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
  out.set(slab.buffer, SLAB_BYTES);
  return slab;
}

/** Says that these bytes are kept: the slab that they are of is left to the garbage collector. */
export function keepBytes(bytes: Uint8Array): void {
  out.delete(bytes.buffer);
}

/** Says that nobody will look at these bytes again. Memory that is not of a slab stays as it is. */
export function giveBack(bytes: Uint8Array): void {
  const left = out.get(bytes.buffer);
  if (left === undefined) return;
  if (left > bytes.length) {
    out.set(bytes.buffer, left - bytes.length);
    return;
  }
  out.delete(bytes.buffer);
  if (free.length < MOST_FREE) free.push(Buffer.from(bytes.buffer));
}
