import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { openUploadState, type UploadState } from '../../../../src/cache/upload-state.ts';
import { MemoryBudget } from '../../../../src/io/memory.ts';
import type { BlobChunkAccessor } from '../../../../src/contract/blob-chunk-accessor.ts';
import type { BlobInfo } from '../../../../src/contract/blob-info.ts';
import type { PartialBlob } from '../../../../src/contract/image-destination.ts';
import type { TestRegistry } from '../../../support/registry.ts';
import { destinationAt, openAccess } from '../../../support/registry-transport.ts';

const MEMORY = 48 * 1024 * 1024;

export interface UploadRunOptions {
  readonly state: UploadState;
  readonly signal?: AbortSignal | undefined;
  readonly layerIndex?: number | undefined;
  /** Called before the blob is put. */
  readonly before?: ((destination: Awaited<ReturnType<typeof destinationAt>>) => Promise<unknown>) | undefined;
}

/** Puts one blob into `app:v1`, as a run of its own; nothing of it may be left in memory. */
export async function putBlob(
  registry: TestRegistry,
  source: BlobChunkAccessor,
  info: BlobInfo,
  options: UploadRunOptions,
): Promise<PartialBlob> {
  const memory = new MemoryBudget(MEMORY).openAccount();
  await using access = openAccess({ uploadState: options.state });
  await using destination = await destinationAt(access, registry, 'app:v1');
  await options.before?.(destination);
  try {
    return await destination.putBlobPartial(source, info, { ...options, memory });
  } finally {
    assert.equal(memory.held, 0, 'all memory was given back');
  }
}

/** A state file that several runs share. */
export async function stateHome(t: TestContext): Promise<() => Promise<UploadState>> {
  const homeDir = await mkdtemp(join(tmpdir(), 'imgcopy-state-'));
  t.after(() => rm(homeDir, { recursive: true, force: true }));
  return () => openUploadState({ env: {}, homeDir, onWarning: (message) => assert.fail(message) });
}
