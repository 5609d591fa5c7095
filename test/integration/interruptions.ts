import { watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { digestHex, type Digest } from '../../src/digest/digest.ts';
import type { RequestRecord, TestRegistry } from '../support/registry.ts';

/** Never settles: what waits for it ends with its connection. */
export const never: Promise<never> = new Promise(() => {});

/**
 * Lets a registry break off, without a word, in every answer that begins at `offset` of a blob or later. What comes before is answered as over a
 * line.
 */
export function holdFrom(registry: TestRegistry, digest: Digest, offset: number): void {
  const path = new RegExp(`/blobs/${digest}$`);
  // A blob that comes faster is asked for as a whole, and then no request begins later.
  registry.behave({ match: { method: 'GET', path: /blobs|manifests/ }, latencyMs: 50 });
  const isBeyond = (request: RequestRecord): boolean => rangeStart(request) >= offset;
  registry.behave({ match: { method: 'GET', path, when: isBeyond }, stallAfterBytes: 1000 });
}

function rangeStart({ range }: RequestRecord): number {
  return Number(/^bytes=(\d+)/.exec(range ?? '')?.[1] ?? 0);
}

/** Resolves as soon as a file in a directory has at least so many bytes; it may not be there yet. */
export async function untilFileHas(directory: string, name: string, bytes: number): Promise<void> {
  const hasEnough = async (): Promise<boolean> => (await sizeOf(join(directory, name))) >= bytes;
  const abort = new AbortController();
  const enough = Promise.withResolvers<void>();
  watch(
    directory,
    { signal: abort.signal, persistent: false },
    () => void hasEnough().then((has) => has && enough.resolve()),
  );
  if (!(await hasEnough())) await enough.promise;
  abort.abort();
}

/** A file's size in bytes; -1 where there is none. */
export async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? -1;
}

/** The name of the file in a directory that a blob lies in as long as it is not whole. */
export function partialName(digest: Digest): string {
  return `.imgcopy-sha256-${digestHex(digest)}.partial`;
}

/** How many bytes of a blob a registry has sent since its last reset. */
export function bytesSentOf(registry: TestRegistry, digest: Digest): number {
  return registry
    .select({ method: 'GET', path: new RegExp(`/blobs/${digest}$`) })
    .reduce((sum, { bytesSent }) => sum + bytesSent, 0);
}

/** JavaScript for the process of a copy, which kills it at the rename of a file to this name. */
export function killAtRename(name: string, when: 'before' | 'after'): string {
  return `
    import fs from 'node:fs/promises';
    import { syncBuiltinESMExports } from 'node:module';
    const { rename } = fs;
    fs.rename = async (from, to) => {
      if (${when === 'after'} || !to.endsWith('/${name}')) await rename(from, to);
      if (to.endsWith('/${name}')) process.kill(process.pid, 'SIGKILL');
    };
    syncBuiltinESMExports();`;
}
