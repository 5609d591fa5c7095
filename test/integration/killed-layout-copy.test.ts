import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { Digest } from '../../src/digest/digest.ts';
import { layoutBlobPath } from '../../src/manifest/image-layout.ts';
import { buildImage, buildIndex, randomBytes } from '../support/images.ts';
import { runImgcopy, startImgcopy } from '../support/imgcopy-command.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { temporaryDirectory } from '../transports/dir/image-directory.ts';
import {
  filesIn,
  holdsBlobsOf,
  listedIn,
  listing,
  type NamedImage,
  writeLayout,
} from '../transports/oci/layout-directory.ts';
import { bytesSentOf, holdFrom, killAtRename, partialName, sizeOf, untilFileHas } from './interruptions.ts';

const MB = 1_000_000;
const shared = randomBytes('shared', 100_000);
const small = randomBytes('small', 3 * MB);
const large = randomBytes('large', 32 * MB);
const older = buildImage({ layers: [shared, randomBytes('older', 200_000)] });
const withLarge = buildImage({ layers: [shared, small, large] });
const newer = buildIndex({ images: [{ image: withLarge }] });
const [, , smallDigest, largeDigest] = [...withLarge.blobs.keys()] as [Digest, Digest, Digest, Digest];

interface Moment {
  readonly when: string;
  readonly arrange?: (registry: TestRegistry) => void;
  readonly reached?: (directory: string) => Promise<void>;
  readonly preload?: string;
  /** Whether the new image is listed then. */
  readonly isNew?: boolean;
}

const moments: readonly Moment[] = [
  {
    when: 'in the middle of a small layer',
    arrange: (registry) =>
      registry.behave({ match: { path: new RegExp(`/blobs/${smallDigest}$`) }, stallAfterBytes: 2 * MB }),
    reached: (directory) => untilFileHas(directory, partialName(smallDigest), 2 * MB),
  },
  {
    when: 'in the middle of a large layer',
    arrange: (registry) => holdFrom(registry, largeDigest, 16 * MB),
    reached: (directory) => untilFileHas(directory, partialName(largeDigest), 16 * MB),
  },
  {
    when: 'between the rename of one blob and the end of another',
    arrange: (registry) => holdFrom(registry, largeDigest, 0),
    reached: (directory) => {
      const path = layoutBlobPath(smallDigest);
      return untilFileHas(join(directory, dirname(path)), path.slice(path.lastIndexOf('/') + 1), small.length);
    },
  },
  { when: 'right before the rename of index.json', preload: killAtRename('index.json', 'before') },
  { when: 'right after the rename of index.json', preload: killAtRename('index.json', 'after'), isNew: true },
];

for (const { when, arrange, reached, preload, isNew = false } of moments) {
  test(`a copy into a layout that is killed ${when} leaves it old or new, and the next run resumes`, async (t) => {
    await using registry = await startRegistry();
    const [home, directory] = [await temporaryDirectory(t), join(await temporaryDirectory(t), 'lay')];
    await mkdir(directory);
    const kept: NamedImage = ['1', older];
    await writeLayout(directory, kept, ['2', older]);
    registry.seed('app', '2', newer);
    const args = [`docker://${registry.host}/app:2`, `oci:${directory}`];

    arrange?.(registry);
    const { child, result } = startImgcopy(args, { env: { HOME: home }, preload });
    await Promise.race([result, reached?.(directory) ?? result]);
    child.kill('SIGKILL');
    const { signal, stderr } = await result;
    assert.equal(signal, 'SIGKILL', stderr);
    assert.deepEqual(await listedIn(directory), listing(kept, ['2', isNew ? newer : older]));
    assert.equal(await holdsBlobsOf(directory, isNew ? newer : older), true);

    const missing = new Map<Digest, number>();
    for (const [digest, { length }] of newer.blobs) {
      const part = length < MB ? 0 : await sizeOf(join(directory, partialName(digest)));
      const present = Math.max(0, part, await sizeOf(join(directory, layoutBlobPath(digest))));
      missing.set(digest, length - present);
    }
    registry.behaveWell();
    await registry.disconnected();
    registry.reset();
    const again = await runImgcopy(args, { env: { HOME: home } });
    assert.equal(again.status, 0, again.stderr);
    assert.deepEqual(await listedIn(directory), listing(kept, ['2', newer]));
    assert.equal(await holdsBlobsOf(directory, newer), true);
    const left = (await filesIn(directory)).filter((name) => name.includes('.imgcopy'));
    assert.deepEqual(left, [], 'nothing of the killed run is left');
    for (const [digest, bytes] of missing) {
      assert.ok(bytesSentOf(registry, digest) <= bytes, `of ${digest} no more came than the ${bytes} bytes it lacked`);
    }
  });
}
