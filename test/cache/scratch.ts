import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { openBlobInfoCache } from '../../src/cache/sqlite-cache.ts';
import type { UserDirectories } from '../../src/cache/user-directories.ts';
import { type Digest, digestOf } from '../../src/digest/digest.ts';
import type { BlobInfoCache } from '../../src/contract/blob-info-cache.ts';

/** A user without files, whose home directory goes away with the test. */
export interface ScratchUser extends UserDirectories {
  readonly homeDir: string;
  readonly cachePath: string;
  readonly uploadsPath: string;
}

export async function scratchUser(t: TestContext): Promise<ScratchUser> {
  const homeDir = await mkdtemp(join(tmpdir(), 'imgcopy-cache-'));
  t.after(() => rm(homeDir, { recursive: true, force: true }));
  return {
    homeDir,
    env: {},
    cachePath: join(homeDir, '.cache/imgcopy/blob-info-cache-v1.sqlite'),
    uploadsPath: join(homeDir, '.local/state/imgcopy/uploads.sqlite'),
  };
}

/** A digest that a name stands for. */
export function digestNamed(name: string): Digest {
  return digestOf(Buffer.from(name));
}

/** Opens a user's cache; a warning of its fails the test. */
export function openCache(user: ScratchUser, now?: () => number): Promise<BlobInfoCache> {
  return openBlobInfoCache({ ...user, now, onWarning: (message) => assert.fail(message) });
}
