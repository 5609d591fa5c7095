import type { Digest } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import type { Descriptor } from '../manifest/descriptor.ts';
import { MAX_INDEX_DEPTH, type ImageIndex, type ImageManifest, type Schema1Manifest } from '../manifest/manifest.ts';
import { isManifestType } from '../manifest/media-types.ts';
import { parseManifest } from '../manifest/parse-manifest.ts';
import type { RawManifest } from '../types/blob-info.ts';
import type { CopyRun } from './copy-run.ts';

/** A manifest, and the instances below it where it is an index. */
export type ManifestNode = ImageNode | IndexNode;

export interface ImageNode {
  readonly raw: RawManifest;
  readonly parsed: ImageManifest | Schema1Manifest;
  readonly entry: Descriptor | undefined;
}

export interface IndexNode {
  readonly raw: RawManifest;
  readonly parsed: ImageIndex;
  readonly entry: Descriptor | undefined;
  /** One for each different manifest that the index names. */
  readonly instances: readonly Promise<ManifestNode>[];
  /** What the index names that is no manifest: the layers of a build cache. */
  readonly blobs: readonly Descriptor[];
}

export interface ReadTreeOptions {
  /** The instances of the root to read; undefined for all. */
  readonly only?: ReadonlySet<Digest> | undefined;
  readonly entry?: Descriptor | undefined;
  /** How many indexes lie above. */
  readonly depth?: number | undefined;
}

/** Reads a manifest's instances from the source, all of one level at the same time. */
export function readManifestTree(run: CopyRun, raw: RawManifest, options: ReadTreeOptions = {}): ManifestNode {
  const { only, entry, depth = 0 } = options;
  const { source, signal } = run;
  const parsed = parseManifest(raw.bytes, raw.mediaType);
  if (parsed.kind !== 'index') return { raw, parsed, entry };
  if (depth === MAX_INDEX_DEPTH) {
    throw new ImgcopyError(
      `${source.reference}: index ${raw.digest} lies below ${depth} others; at most ${MAX_INDEX_DEPTH} levels are followed`,
      {
        code: 'ERR_INDEX_TOO_DEEP',
        side: 'source',
      },
    );
  }
  const different = [...new Map(parsed.manifests.map((listed) => [listed.digest, listed])).values()].filter(
    (listed) => only?.has(listed.digest) ?? true,
  );
  const instances = different
    .filter((listed) => isManifestType(listed.mediaType))
    .map(async (listed) => {
      const instance = await source.getManifest({ instanceDigest: listed.digest, signal });
      return readManifestTree(run, instance, { entry: listed, depth: depth + 1 });
    });
  // The first that fails is reported by who walks the tree; the others must not count as unhandled.
  for (const instance of instances) instance.catch(() => undefined);
  return { raw, parsed, entry, instances, blobs: different.filter((listed) => !isManifestType(listed.mediaType)) };
}

/** How many manifests a tree has; to be asked for when all of it was read. */
export async function countManifests(node: ManifestNode): Promise<number> {
  if (!('instances' in node)) return 1;
  const counts = await Promise.all(node.instances.map(async (instance) => countManifests(await instance)));
  return counts.reduce((sum, count) => sum + count, 1);
}
