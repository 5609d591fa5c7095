import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestHex, type Digest } from '../../src/digest/digest.ts';
import { buildImage, buildIndex, randomBytes, type TestImage } from '../support/images.ts';
import { runImgcopy, startImgcopy } from '../support/imgcopy-command.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { assertHoldsOnly, isWhole, temporaryDirectory, writeImage } from '../transports/dir/image-directory.ts';
import { bytesSentOf, holdFrom, killAtRename, never, partialName, sizeOf, untilFileHas } from './interruptions.ts';

const MB = 1_000_000;
const shared = randomBytes('shared', 100_000);
const small = randomBytes('small', 3 * MB);
const large = randomBytes('large', 32 * MB);
const older = buildImage({ layers: [shared, randomBytes('older', 200_000)] });
const withSmall = buildImage({ layers: [shared, small] });
const withLarge = buildImage({ layers: [shared, large], platform: { os: 'linux', architecture: 'arm64' } });
const newer = buildIndex({ images: [{ image: withSmall }, { image: withLarge }] });
const smallDigest = layerOf(withSmall);
const largeDigest = layerOf(withLarge);

/** A moment at which a copy is killed. */
interface Moment {
  readonly when: string;
  /** Lets the copy come to that moment and no further. */
  readonly arrange?: (registry: TestRegistry) => void;
  /** Resolves when it is there. */
  readonly reached?: (registry: TestRegistry, directory: string) => Promise<void>;
  /** The copy kills itself at that moment instead: JavaScript that runs in its process. */
  readonly preload?: string;
  /** The image that the directory holds then. Default: the older one. */
  readonly holds?: TestImage;
}

const moments: readonly Moment[] = [
  {
    when: 'while it asks for the manifest',
    arrange: (registry) => registry.behave({ match: { path: /\/manifests\/2$/ }, hold: never }),
    reached: (registry) => registry.until(() => registry.count({ path: /\/manifests\/2$/ }) === 1),
  },
  {
    when: 'while it asks for an instance',
    arrange: (registry) => registry.behave({ match: { path: /\/manifests\/sha256:/ }, hold: never }),
    reached: (registry) => registry.until(() => registry.count({ path: /\/manifests\/sha256:/ }) === 2),
  },
  {
    when: 'while it asks for its first blobs',
    arrange: (registry) => registry.behave({ match: { path: /\/blobs\// }, hold: never }),
    reached: (registry) => registry.until(() => registry.count({ path: /\/blobs\// }) > 0),
  },
  {
    when: 'inside a small layer',
    arrange: (registry) => registry.behave({ match: { path: blobPath(smallDigest) }, stallAfterBytes: 2 * MB }),
    reached: (_registry, directory) => untilFileHas(directory, partialName(smallDigest), 2 * MB),
  },
  {
    when: 'at the beginning of a large layer',
    arrange: (registry) => holdFrom(registry, largeDigest, 1),
    reached: (_registry, directory) => untilFileHas(directory, partialName(largeDigest), MB),
  },
  {
    when: 'in the middle of a large layer',
    arrange: (registry) => holdFrom(registry, largeDigest, 16 * MB),
    reached: (_registry, directory) => untilFileHas(directory, partialName(largeDigest), 16 * MB),
  },
  {
    when: 'near the end of a large layer',
    arrange: (registry) => holdFrom(registry, largeDigest, 30 * MB),
    reached: (_registry, directory) => untilFileHas(directory, partialName(largeDigest), 30 * MB),
  },
  {
    when: 'between the rename of one blob and the end of another',
    arrange: (registry) => holdFrom(registry, largeDigest, 0),
    reached: (_registry, directory) => untilFileHas(directory, digestHex(smallDigest), small.length),
  },
  {
    when: 'after the manifest of one instance, before that of another',
    arrange: (registry) => holdFrom(registry, largeDigest, 0),
    reached: (_registry, directory) =>
      untilFileHas(directory, `${digestHex(withSmall.manifest.digest)}.manifest.json`, 1),
  },
  { when: 'right before the rename of manifest.json', preload: killAtRename('manifest.json', 'before') },
  { when: 'right after the rename of manifest.json', preload: killAtRename('manifest.json', 'after'), holds: newer },
];

for (const { when, arrange, reached, preload, holds = older } of moments) {
  test(`a copy into a directory that is killed ${when} leaves a whole image, and can be run again (behaviours 75, 76)`, async (t) => {
    await using registry = await startRegistry();
    const [home, directory] = [await temporaryDirectory(t), await temporaryDirectory(t)];
    await writeImage(directory, older);
    registry.seed('app', '2', newer);
    const args = [`docker://${registry.host}/app:2`, `dir:${directory}`];

    arrange?.(registry);
    const { child, result } = startImgcopy(args, { env: { HOME: home }, preload });
    await Promise.race([result, reached?.(registry, directory) ?? result]);
    child.kill('SIGKILL');
    const { signal, stderr } = await result;
    assert.equal(signal, 'SIGKILL', stderr);
    assert.equal(await isWhole(directory, holds), true);

    const missing = new Map<Digest, number>();
    for (const [digest, { length }] of newer.blobs)
      missing.set(digest, length - (await presentBytes(directory, digest, length)));
    registry.behaveWell();
    await registry.disconnected();
    registry.reset();
    const again = await runImgcopy(args, { env: { HOME: home } });
    assert.equal(again.status, 0, again.stderr);
    assert.equal(await isWhole(directory, newer), true);
    await assertHoldsOnly(directory, newer);
    for (const [digest, bytes] of missing) {
      assert.ok(bytesSentOf(registry, digest) <= bytes, `of ${digest} no more came than the ${bytes} bytes it lacked`);
    }
  });
}

/** How much of a blob a directory has that need not come again: all of it, or a part that is long enough to be continued. */
async function presentBytes(directory: string, digest: Digest, size: number): Promise<number> {
  const whole = await sizeOf(join(directory, digestHex(digest)));
  const part = size < MB ? 0 : await sizeOf(join(directory, partialName(digest)));
  return Math.max(0, whole, part);
}

function layerOf({ manifest }: TestImage): Digest {
  const { layers } = JSON.parse(manifest.bytes.toString()) as { layers: readonly { digest: Digest }[] };
  return layers.at(-1)?.digest as Digest;
}

function blobPath(digest: Digest): RegExp {
  return new RegExp(`/blobs/${digest}$`);
}
