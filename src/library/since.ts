import type { LeftOutBlobs } from '../contract/blob-info.ts';
import { choosePlatforms } from '../copy/platform-choice.ts';
import { readManifestTree, type ManifestNode } from '../copy/manifest-tree.ts';
import type { Digest } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import type { Platform } from '../manifest/descriptor.ts';
import { PlatformNotFoundError } from '../manifest/platform.ts';
import type { QuestionOptions } from './options.ts';
import { askImage, type OpenedImage } from './questions.ts';
import type { SharedResources } from './shared-resources.ts';

export interface SinceOptions extends QuestionOptions {
  /** Only the images for these. Default: all. */
  readonly platforms?: readonly Platform[] | undefined;
}

/**
 * The layers of images that somebody has. Their manifests are read, and nothing else.
 * @throws ImgcopyError of kind `not-found` where there is no such image.
 */
export async function layersOf(
  shared: SharedResources,
  references: readonly string[],
  { platforms = [], ...options }: SinceOptions,
): Promise<LeftOutBlobs> {
  const digests = new Set<Digest>();
  const since: string[] = [];
  for (const reference of new Set(references)) {
    await askImage(shared, reference, options, async (image) => {
      const { source, manifest } = image;
      const isPinned = source.reference.endsWith(`@${manifest.digest}`);
      since.push(isPinned ? source.reference : `${source.reference}@${manifest.digest}`);
      const only = await instancesFor(image, platforms);
      await addLayers(digests, readManifestTree(image, manifest, { only }));
    });
  }
  return { digests, since };
}

/** Of a platform that the image does not have, there is nothing to leave out. */
async function instancesFor(
  image: OpenedImage,
  platforms: readonly Platform[],
): Promise<ReadonlySet<Digest> | undefined> {
  if (platforms.length === 0) return undefined;
  const chosen = new Set<Digest>();
  for (const platform of platforms) {
    try {
      const choice = await choosePlatforms(image, image.manifest, [platform]);
      if (choice === undefined) return undefined;
      for (const [digest] of choice.nested) chosen.add(digest);
      for (const { digest } of choice.chosen) chosen.add(digest);
    } catch (error) {
      if (!(error instanceof PlatformNotFoundError)) throw error;
    }
  }
  return chosen;
}

async function addLayers(digests: Set<Digest>, node: ManifestNode): Promise<void> {
  if (!('instances' in node)) {
    for (const { digest } of node.parsed.layers) digests.add(digest);
    return;
  }
  for (const { digest } of node.blobs) digests.add(digest);
  for (const instance of node.instances) {
    const below = await instance.catch(ignoreMissing);
    if (below !== undefined) await addLayers(digests, below);
  }
}

/** An index may name images that are not there, as in what docker save writes: they are not where it was imported either. */
function ignoreMissing(error: unknown): undefined {
  if (!(error instanceof ImgcopyError && error.kind === 'not-found')) throw error;
}
