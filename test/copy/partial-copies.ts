import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { digestHex, digestOf } from '../../src/digest/digest.ts';
import { createCopier, type CopierOptions, type CopyOptions, type CopyResult } from '../../src/index.ts';
import type { TestImage } from '../support/images.ts';
import { startRegistry, type RegistryOptions, type TestRegistry } from '../support/registry.ts';

/** Where a copy goes to: a registry, or a directory. */
export type Kind = 'registry' | 'dir';

/** Two registries and a directory, and a user without files who copies between them. */
export interface Scene {
  readonly from: TestRegistry;
  readonly to: TestRegistry;
  readonly directory: string;
  /** The user's files: cache, state. */
  readonly home: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface SceneOptions {
  readonly from?: RegistryOptions | undefined;
  readonly to?: RegistryOptions | undefined;
}

/** All of it is gone at the end of the test. */
export async function openScene(t: TestContext, options: SceneOptions = {}): Promise<Scene> {
  const home = await mkdtemp(join(tmpdir(), 'imgcopy-copy-'));
  const [from, to] = [await startRegistry(options.from), await startRegistry(options.to)];
  t.after(async () => {
    await Promise.all([from.close(), to.close(), rm(home, { recursive: true, force: true })]);
  });
  const env = { XDG_CACHE_HOME: join(home, 'cache'), XDG_STATE_HOME: join(home, 'state'), HOME: home };
  return { from, to, directory: join(home, 'image'), home, env };
}

const plain = { plainHttp: true, noCreds: true };

export interface SceneCopyOptions extends CopyOptions {
  readonly copier?: CopierOptions | undefined;
}

/** Copies `app:<tag>` of the source to the destination, as a run of its own; a warning is a failure. */
export async function copyTo(
  kind: Kind,
  scene: Scene,
  tag: string,
  options: SceneCopyOptions = {},
): Promise<CopyResult> {
  const { from, to, directory, env } = scene;
  const onWarning = (message: string): void => assert.fail(message);
  await using copier = createCopier({ env, retryDelayMs: 1, onWarning, ...options.copier });
  const destination = kind === 'dir' ? `dir:${directory}` : `docker://${to.host}/app:latest`;
  const copyOptions = { source: plain, destination: plain, ...options };
  return await copier.copy(`docker://${from.host}/app:${tag}`, destination, copyOptions);
}

/** Checks that the destination holds an image byte for byte, and that nothing else is left of the copy. */
export async function assertCopied(kind: Kind, { to, directory }: Scene, image: TestImage): Promise<void> {
  if (kind === 'registry') {
    await to.idle();
    assert.deepEqual(to.manifest('app', 'latest')?.bytes, image.manifest.bytes);
    for (const [digest, bytes] of image.blobs) assert.ok(to.blob('app', digest)?.equals(bytes), digest);
    assert.deepEqual(to.sessions, [], 'no upload is left open');
    return;
  }
  assert.deepEqual(await readFile(join(directory, 'manifest.json')), image.manifest.bytes);
  for (const digest of image.blobs.keys())
    assert.equal(digestOf(await readFile(join(directory, digestHex(digest)))), digest);
  const temporary = (await readdir(directory)).filter((name) => name.startsWith('.imgcopy'));
  assert.deepEqual(temporary, [], 'nothing temporary is left');
}

/** Checks that no blob of a destination has other bytes than its digest says, and no partial file is under a blob's name. */
export async function assertNoWrongBlob(kind: Kind, { to, directory }: Scene): Promise<void> {
  if (kind === 'registry') {
    for (const digest of to.blobs('app')) assert.equal(digestOf(to.blob('app', digest)!), digest);
    return;
  }
  for (const name of await readdir(directory)) {
    if (!/^[0-9a-f]{64}$/.test(name)) continue;
    assert.equal(digestHex(digestOf(await readFile(join(directory, name)))), name);
  }
}
